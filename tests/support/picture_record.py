"""Run by `manage.py shell` for the pictures: users with keys, whose secrets are printed, an
operator and a week of answers in the record."""

import random
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from streaming.identity import keys
from streaming.models import Conversation, Message, Response

USERS = {
    "maya.keller": 120, "jonas.weber": 74, "h.tanaka": 51, "amara.okafor": 33,
    "lea.fontaine": 27, "reports-bot": 160, "p.novak": 12, "s.lindqvist": 8,
}  # fmt: skip
PASSWORD = "correct horse battery"

chance = random.Random(19)
now = timezone.now()
User.objects.create_superuser("operator", password=PASSWORD)
for name, count in USERS.items():
    user = User.objects.create_user(name, password=PASSWORD)
    print(keys.create(user, "laptop")[1])
    owner = f"user:{user.pk}"
    one = Conversation.objects.create(owner=owner, user=user, title="Notes", source="api")
    for number in range(count):
        asked = now - timedelta(seconds=chance.random() * 6.5 * 86_400)
        begun = asked + timedelta(seconds=chance.expovariate(1 / 20))
        ended = begun + timedelta(seconds=2 + chance.expovariate(1 / 9))
        status = chance.choices(["completed", "cancelled", "failed"], [94, 4, 2])[0]
        prompt = Message.objects.create(conversation=one, role="user", content="Summarise this.")
        row = Response.objects.create(
            conversation=one, prompt=prompt, owner=owner, status=status, ordinal=number + 1,
            error_code="engine_error" if status == "failed" else "",
            prompt_tokens=chance.randint(40, 2_400), completion_tokens=chance.randint(30, 700),
        )  # fmt: skip
        Response.objects.filter(pk=row.pk).update(
            created_at=asked, started_at=begun, finished_at=ended,
            first_token_at=begun + timedelta(seconds=0.2 + chance.random()),
        )  # fmt: skip
