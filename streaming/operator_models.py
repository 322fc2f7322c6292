"""The tables of what operators decide: limits, announcements, alerts; part of `models`."""

from __future__ import annotations

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _


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
