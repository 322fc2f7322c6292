"""The record: conversations, their messages (a tree), every response with its timings, API keys,
signed-in sessions; and for a short time, who tried to sign in how often, and which visitor has
become an account.

The record outlives the channel layer; whoever ends a response does so first in here, by a
conditional update to its one terminal status.
"""

from __future__ import annotations

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Conversation(models.Model):
    """Prompts and answers of one owner. Those of API requests have one response each."""

    class Source(models.TextChoices):
        """By which door a conversation came."""

        CHAT = "chat"  # the page, or a program on the WebSocket
        API = "api"  # not in the page's list
        NAME = "name"  # the server's own: a model makes the title of another conversation

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.CharField(max_length=64, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True
    )
    title = models.CharField(max_length=120, blank=True)
    source = models.CharField(max_length=4, choices=Source, default=Source.CHAT)
    instructions = models.TextField(null=True, blank=True)  # noqa: DJ001
    """Of its own, empty for none; null: the account's hold."""
    names = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="named_by"
    )
    """The conversation whose title is made in this one, and with which it is deleted."""
    imported_from = models.CharField(max_length=64, blank=True, default="", db_default="")
    """SHA-256 of what it is in the file that it was imported from; empty for all others."""
    pinned = models.BooleanField(default=False, db_default=False)  # stands above all others
    archived = models.BooleanField(default=False, db_default=False)  # out of the list, but found
    folder = models.CharField(max_length=60, blank=True, default="", db_default="")
    metadata = models.JSONField(null=True, blank=True)  # a program's own words about it
    tail = models.ForeignKey(
        "Message", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    """The last turn of a conversation that a program builds of items; the next response follows
    it. Null: the newest response says where it goes on."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["-updated_at"]
        indexes = [
            models.Index(fields=["owner", "source", "-updated_at"], name="conversations_of_owner")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["names"], condition=models.Q(names__isnull=False), name="one_names_another"
            )
        ]

    def __str__(self) -> str:
        return str(self.id)  # never what people wrote: Django shows and logs this


class Share(models.Model):
    """A copy of one path through a conversation, for whoever has the link to it.

    The link is a secret, but one that its owner may look up again, and it opens nothing that does
    not stand in this row: it is stored as it is.
    """

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, related_name="share"
    )
    token = models.CharField(max_length=43, unique=True)
    title = models.CharField(max_length=120, blank=True)
    author = models.CharField(max_length=150, blank=True)  # as the owner wants to be named
    leaf = models.CharField(max_length=36)  # the response that the copied path ends with
    turns = models.JSONField()  # `record.shares.SharedTurn`
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)  # when the path was copied

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.token[:4]}…"  # never the link itself: Django shows and logs this


class Message(models.Model):
    """One turn. `parent` is the message it answers or follows; edits and regenerations branch."""

    class Role(models.TextChoices):
        """Who wrote a message, in the words of chat templates."""

        SYSTEM = "system"
        USER = "user"
        ASSISTANT = "assistant"
        TOOL = "tool"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages"
    )
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children"
    )
    role = models.CharField(max_length=9, choices=Role)
    content = models.TextField()
    parts = models.JSONField(null=True, blank=True)
    """The parts of a content that is not one text (`protocol.items.Part`), of which `content` has
    the text; null for all others."""
    reasoning = models.TextField(blank=True, default="", db_default="")  # thought before it
    fields = models.JSONField(null=True, blank=True)  # a call of tools, or whose result it is
    removed = models.JSONField(null=True, blank=True)
    """The numbers of those of its items that a program has taken out of the conversation; null for
    none. `content`, `reasoning` and `fields` have what is left."""
    searchable = models.BooleanField(default=True, db_default=True)  # not what came by the API
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["conversation", "created_at"]),
            models.Index(
                fields=["conversation"],
                condition=models.Q(parts__isnull=False),
                name="messages_with_parts",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class StoredFile(models.Model):
    """A file that somebody attached: what is known of it, and where its bytes are.

    Its bytes lie in the storage `chatstream`, once for each owner and digest. Goes with the last
    message that names it in its parts (`record.files.collect`), its bytes with the last row.
    """

    class Kind(models.TextChoices):
        """What its content is."""

        IMAGE = "image"
        TEXT = "text"
        MARKDOWN = "markdown"
        CODE = "code"
        CSV = "csv"
        JSON = "json"
        PDF = "pdf"
        DOCX = "docx"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True
    )
    sha256 = models.CharField(max_length=64)
    place = models.CharField(max_length=100, db_index=True)  # its name in the storage
    size = models.PositiveIntegerField()  # bytes
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100)
    kind = models.CharField(max_length=8, choices=Kind)
    text = models.TextField(blank=True)  # what of it a model reads; empty for an image
    tokens = models.PositiveIntegerField(default=0)  # of the text, about
    purpose = models.CharField(max_length=20, blank=True)
    """Why a program keeps it, by OpenAI's names; without one, it goes with the last message."""
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(default=timezone.now, db_index=True)  # by a message

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ()
        indexes = [models.Index(fields=["owner", "sha256"], name="files_of_owner")]

    def __str__(self) -> str:
        return str(self.id)  # never its name: Django shows and logs this


class Status(models.TextChoices):
    """How far a response is. `streaming.lifecycle.transitions` has what leads on."""

    # Written, but the waiting list has not answered yet; never on the wire.
    ACCEPTING = "accepting", _("Accepting")
    QUEUED = "queued", _("Queued")
    IN_PROGRESS = "in_progress", _("In Progress")
    COMPLETED = "completed", _("Completed")
    INCOMPLETE = "incomplete", _("Incomplete")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


OPEN = (Status.ACCEPTING, Status.QUEUED, Status.IN_PROGRESS)
TERMINAL = (Status.COMPLETED, Status.INCOMPLETE, Status.CANCELLED, Status.FAILED)


class Response(models.Model):
    """One prompt being answered. The id is made by the client, so a retry is the same response.

    Responses of a conversation form a tree by `previous`, the one that this one follows. Those
    with the same `previous` are versions of one turn: another prompt (edited), or another answer
    to the same prompt (regenerated). One that `continues` another stands in its place: its text
    is what follows the other's, its message holds both; so it is with what they thought. A message
    may be a thought alone, which can be gone on with, but is no answer that a prompt follows.
    """

    class Rating(models.IntegerChoices):
        """What the owner thinks of an answer."""

        DISLIKE = -1
        LIKE = 1

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="responses"
    )
    prompt = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="responses")
    message = models.OneToOneField(
        Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="response"
    )
    previous = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="followed_by"
    )
    continues = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="continued_by"
    )
    owner = models.CharField(max_length=64, db_index=True)
    address = models.CharField(max_length=45, blank=True)
    params = models.JSONField(default=dict)
    instructions = models.TextField(blank=True, default="", db_default="")
    """The system message before its conversation, the same for each attempt; empty: none."""

    status = models.CharField(
        max_length=11, choices=Status, default=Status.ACCEPTING, db_index=True
    )
    finish_reason = models.CharField(max_length=16, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    text = models.TextField(blank=True)
    reasoning = models.TextField(blank=True, default="", db_default="")  # thought before the text
    passed = models.JSONField(null=True, blank=True)  # what the model's server said besides
    items = models.JSONField(null=True, blank=True)
    """Of which items the output consists, in order (`record.output.Segment`); null where it is one
    thought, one text and the calls of `passed`, each if there is any."""
    request = models.JSONField(null=True, blank=True)
    """What a request to `/v1/responses` says besides its input, its instructions and the sampling,
    by its own names: `tools`, `tool_choice`, `text`, `metadata`, `reasoning`, `include` and so on;
    null for all others."""
    stored = models.BooleanField(default=True, db_default=True)
    """Whether it may be read again later; what is not is deleted when it has ended."""
    background = models.BooleanField(default=False, db_default=False)
    """Goes on without a reader, however long nobody asks for it."""
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0, db_default=0)  # of the completion's
    reasoning_ms = models.PositiveIntegerField(null=True, blank=True)  # how long it thought
    trimmed_messages = models.PositiveIntegerField(default=0)
    model = models.CharField(max_length=200, blank=True, default="", db_default="")
    """Its name, as the worker that began it says; empty until then, and in rows of before."""
    attempt = models.PositiveSmallIntegerField(default=0)
    restarts = models.PositiveSmallIntegerField(default=0)  # how often the list forgot it
    hangs = models.PositiveSmallIntegerField(default=0, db_default=0)  # engines that hung over it
    worker = models.CharField(max_length=120, blank=True)
    ordinal = models.PositiveIntegerField(default=1, db_default=1)  # of its conversation
    slot = models.CharField(max_length=48, blank=True, default="", db_default="")
    """Where it stands, or stood, in the waiting list (`waiting_list.interface.Slot`): a list that
    has lost its memory restores the order by it. Empty while it is held."""
    rating = models.SmallIntegerField(choices=Rating, null=True, blank=True)
    in_session = models.BooleanField(default=False, db_default=False)
    """Asked for in an account's signed-in session: kept for as long as the account has one."""
    imported = models.BooleanField(default=False, db_default=False)
    """Comes from a file: nothing was answered here, and no measure of the service counts it."""

    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        permissions = [
            ("view_queue", "Can watch the live queue"),
            ("view_text", "Can read prompts and answers"),
            ("cancel_response", "Can cancel anybody's responses"),
            ("control_queue", "Can reorder, pause, drain and close the queue"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class AccountInstructions(models.Model):
    """What an account wants of all its answers, in conversations without instructions of their
    own."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="instructions",
    )
    text = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "account instructions"

    def __str__(self) -> str:
        return str(self.pk)  # never what people wrote: Django shows and logs this


class ApiKey(models.Model):
    """A credential of an account. The secret itself is shown once and never stored."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=80)
    start = models.CharField(max_length=12)  # of the secret, so that people tell theirs apart
    digest = models.CharField(max_length=64, unique=True)  # SHA-256: the secret is random and long
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.start}…)"


class AccountSession(models.Model):
    """A session in which an account is signed in: on what, since when, when last used.

    The store of sessions says whether it still is; `streaming.identity.sessions` asks it.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sessions"
    )
    session_key = models.CharField(max_length=40, unique=True)
    agent = models.CharField(max_length=300, blank=True)  # as the browser names itself
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-last_used_at"]
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.pk)  # never the key, which is a credential


class ListLock(models.Model):
    """Whose waiting list the record belongs to, where lists live in processes: one row.

    `streaming.lifecycle.list_lock` says how it is held.
    """

    id = models.PositiveSmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=32, blank=True)  # drawn by a process; empty: nobody's
    beats = models.PositiveBigIntegerField(default=0)  # grows while the holder lives
    machine = models.CharField(max_length=100, blank=True)
    host = models.CharField(max_length=255, blank=True)
    pid = models.PositiveIntegerField(default=0)
    born = models.CharField(max_length=32, blank=True)  # the process, in its kernel's ticks

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Attempts(models.Model):
    """How often somebody tried something; means nothing once `until` is over."""

    key = models.CharField(max_length=64, primary_key=True)  # SHA-256 of what was tried, and who
    count = models.PositiveSmallIntegerField(default=0)
    until = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "attempts"

    def __str__(self) -> str:
        return self.key


class MergedVisitor(models.Model):
    """A visitor who has signed in: what still comes as this one, has to come anew."""

    visitor = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    merged_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.visitor


class Site(models.Model):
    """This database's identity, in one row: whoever shares a waiting list has the same."""

    key = models.CharField(max_length=32)

    def __str__(self) -> str:
        return self.key


# --- what operators decide: limits, announcements, alerts ---


class Limit(models.Model):
    """A limit that an operator has changed; one without a row is as the settings say."""

    name = models.CharField(max_length=32, primary_key=True)  # that of the setting
    value = models.PositiveIntegerField()
    changed_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


class Announcement(models.Model):
    """What all users are told from one moment to another."""

    class Level(models.TextChoices):
        """How much it matters."""

        INFO = "info", _("Information")
        WARNING = "warning", _("Warning")
        PROBLEM = "problem", _("Problem")

    text = models.CharField(max_length=500)
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, db_index=True)  # None: until taken down
    written_by = models.CharField(max_length=150)
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        ordering = ["-starts_at", "-pk"]

    def __str__(self) -> str:
        return self.text


class AlertRule(models.Model):
    """When operators are told: one row for each kind, and whether it is so now."""

    class Kind(models.TextChoices):
        """What is measured."""

        WAIT = "wait"  # seconds that somebody waits
        FAILURES = "failures"  # percent of what ended in the last minutes
        NO_WORKER = "no_worker"  # seconds without a worker that serves

    kind = models.CharField(max_length=9, choices=Kind, primary_key=True)
    is_on = models.BooleanField(default=False)
    threshold = models.PositiveIntegerField()  # seconds, or percent
    minutes = models.PositiveIntegerField(default=5)  # that failures are counted over
    firing_since = models.DateTimeField(null=True)
    unserved_since = models.DateTimeField(null=True)  # by a worker
    value = models.FloatField(null=True)  # as measured last
    checked_at = models.DateTimeField(null=True)
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.kind


def new_secret() -> str:
    """Return a secret to sign with."""
    return secrets.token_urlsafe(32)


class AlertReceiver(models.Model):
    """Who is told: an address that takes JSON, or one of e-mail."""

    class Kind(models.TextChoices):
        """How it is told."""

        WEBHOOK = "webhook", _("Web hook")
        EMAIL = "email", _("E-mail")

    kind = models.CharField(max_length=7, choices=Kind)
    address = models.CharField(max_length=500)
    secret = models.CharField(max_length=64, default=new_secret)  # of a web hook
    added_by = models.CharField(max_length=150)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["kind", "address"], name="one_of_address")]

    def __str__(self) -> str:
        return self.address


class AlertMessage(models.Model):
    """One message to one receiver: what is to be sent, and what has been."""

    class State(models.TextChoices):
        """What it says of its rule."""

        FIRING = "firing", _("firing")
        RESOLVED = "resolved", _("resolved")
        TEST = "test", _("test")

    receiver = models.ForeignKey(AlertReceiver, on_delete=models.CASCADE)
    rule = models.CharField(max_length=9, blank=True)  # empty: a test
    state = models.CharField(max_length=8, choices=State)
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, db_index=True)  # of the next attempt; None: over
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)  # of the last attempt

    class Meta:
        default_permissions = ()
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.state} to {self.receiver_id}"


class AlertDuty(models.Model):
    """Which process measures and sends: one row. Over when its holder does not say so in time."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=32)
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.holder
