"""API keys made by operators: in the admin and on the command line."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from streaming.identity import keys
from streaming.models import ApiKey

pytestmark = pytest.mark.django_db

LIST = "admin:streaming_apikey_changelist"
SECRET = re.compile(r"cs-[\w-]{43}")


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def page(admin_client: Client) -> Client:
    return admin_client


def add(page: Client, user: User, name: str = "laptop") -> Any:
    address = reverse("admin:streaming_apikey_add")
    return page.post(address, {"user": user.pk, "name": name}, follow=True)


def test_the_secret_is_shown_exactly_once(page: Client, ada: User) -> None:
    shown = add(page, ada)
    key = ApiKey.objects.get()
    secrets = set(SECRET.findall(shown.content.decode()))
    assert len(secrets) == 1
    assert keys.user_of(secrets.pop()) == ada
    for address in (reverse(LIST), reverse("admin:streaming_apikey_change", args=[key.pk])):
        content = page.get(address).content.decode()
        assert not SECRET.search(content)
        assert key.digest not in content
        assert key.start in content


def test_only_the_name_can_be_changed(page: Client, ada: User) -> None:
    key, _ = keys.create(ada, "laptop")
    other = User.objects.create_user("eve")
    page.post(
        reverse("admin:streaming_apikey_change", args=[key.pk]),
        {"name": "phone", "user": other.pk, "digest": "x", "start": "y", "revoked_at": ""},
    )
    changed = ApiKey.objects.get()
    assert (changed.name, changed.user, changed.digest) == ("phone", ada, key.digest)


@pytest.mark.parametrize("name", ["", "x" * 81, "a\0b"])
def test_a_bad_name_makes_no_key(page: Client, ada: User, name: str) -> None:
    assert add(page, ada, name).status_code == 200
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_by_the_action(page: Client, ada: User) -> None:
    (first, secret), (second, kept) = keys.create(ada, "first"), keys.create(ada, "second")
    chosen = {"action": "revoke", "_selected_action": [first.pk]}
    assert b"1 revoked." in page.post(reverse(LIST), chosen, follow=True).content
    assert keys.user_of(secret) is None
    assert keys.user_of(kept) == ada
    moment = ApiKey.objects.get(pk=first.pk).revoked_at
    chosen["_selected_action"] = [first.pk, second.pk]
    assert b"1 revoked." in page.post(reverse(LIST), chosen, follow=True).content
    assert ApiKey.objects.get(pk=first.pk).revoked_at == moment


def test_who_may_only_look_revokes_nothing(ada: User) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    key, secret = keys.create(ada, "laptop")
    client = Client()
    client.force_login(viewer)
    assert client.get(reverse(LIST)).status_code == 200
    client.post(reverse(LIST), {"action": "revoke", "_selected_action": [key.pk]})
    assert keys.user_of(secret) == ada
    assert add(client, ada).status_code == 403


def test_keys_can_be_found_and_deleted(page: Client, ada: User) -> None:
    key, secret = keys.create(ada, "laptop")
    assert b"laptop" in page.get(reverse(LIST), {"q": "ada", "revoked_at__isempty": 1}).content
    page.post(reverse("admin:streaming_apikey_delete", args=[key.pk]), {"post": "yes"})
    assert keys.user_of(secret) is None


# --- whose key one may make ---


def with_permission(*names: str) -> tuple[User, Client]:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return user, client


def test_a_permission_to_add_keys_is_one_for_oneself(ada: User) -> None:
    """Whoever makes a key of another account acts as that account."""
    chief = User.objects.create_superuser("chief")
    operator, client = with_permission("add_apikey", "view_apikey", "view_user")
    for other in (ada, chief):
        shown = add(client, other, f"of {other}")
        (secret,) = set(SECRET.findall(shown.content.decode()))
        assert keys.user_of(secret) == operator
    assert {key.user for key in ApiKey.objects.all()} == {operator}
    form = client.get(reverse("admin:streaming_apikey_add")).content.decode()
    assert 'name="user"' not in form
    assert "for yourself" in form


def test_a_superuser_makes_keys_for_anybody(page: Client, ada: User) -> None:
    form = page.get(reverse("admin:streaming_apikey_add")).content.decode()
    assert 'name="user"' in form
    add(page, ada)
    assert ApiKey.objects.get().user == ada


def test_a_key_stays_its_accounts_whatever_is_posted(ada: User) -> None:
    operator, client = with_permission("add_apikey", "change_apikey", "view_apikey")
    key, secret = keys.create(ada, "laptop")
    address = reverse("admin:streaming_apikey_change", args=[key.pk])
    posted = {"name": "phone", "user": operator.pk, "revoked_at": ""}
    assert client.post(address, posted).status_code == 302
    assert keys.user_of(secret) == ada
    assert ApiKey.objects.get().name == "phone"
    client.post(address, {**posted, "user": ada.pk, "_saveasnew": "1"})  # Django adds one then
    assert ApiKey.objects.exclude(user=operator).get() == key
    for changing in ({"digest": "x" * 64}, {"id": "99"}, {"start": "cs-zz"}):
        client.post(address, {"name": "phone", **changing})
        assert keys.user_of(secret) == ada


def test_a_permission_to_change_or_delete_keys_makes_none(ada: User) -> None:
    _, client = with_permission("change_apikey", "delete_apikey", "view_apikey")
    assert add(client, ada).status_code == 403
    key, secret = keys.create(ada, "laptop")
    keys.revoke(key)
    address = reverse("admin:streaming_apikey_change", args=[key.pk])
    client.post(address, {"name": "laptop", "revoked_at": "", "revoked_at_0": "", "user": ada.pk})
    assert keys.user_of(secret) is None


# --- the command ---


def create(*args: str) -> str:
    out = StringIO()
    call_command("createapikey", *args, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_prints_the_secret_alone(ada: User) -> None:
    secret = create("ada", "--name", " script ")
    assert SECRET.fullmatch(secret.strip())
    assert keys.user_of(secret.strip()) == ada
    assert ApiKey.objects.get().name == "script"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("bob",), "no account 'bob'"),
        (("ada", "--name", " "), "--name '' is not allowed"),
        (("ada", "--name", "x" * 81), "1 to 80 characters"),
        (("eve",), "not active"),
    ],
)
def test_the_command_names_what_is_wrong(ada: User, args: tuple[str, ...], reason: str) -> None:
    User.objects.create_user("eve", is_active=False)
    with pytest.raises(CommandError, match=reason):
        create(*args)
    assert not ApiKey.objects.exists()
