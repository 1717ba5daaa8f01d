"""What may be said of a local repository that is made through the API: what remotes.json may say of one, but for its
project, which is its owner's, and for secrets that stand in this server's environment or files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import ValidationError, pre_load

from app.formats.oci_names import valid_name
from app.repositories.keys import NAME, NOT_A_NAME, NOT_SAYABLE, LocalSchema
from app.resource import Kind, Repository, Signing
from app.stores.accounts import Defined

SECRETS = ("signing_key", "signing_key_password")


class MadeSchema(LocalSchema):
    """As it is sent."""

    @pre_load
    def _plain(self, data: Any, **_: Any) -> Any:
        named = [key for key in SECRETS if isinstance(data, Mapping) and isinstance(data.get(key), Mapping)]
        if named:
            reason = "must be the value itself: this server's environment and files are its operator's"
            raise ValidationError({key: [reason] for key in named})
        return data

    def check_key(self, package: str, signing: Signing) -> None:
        """A key says itself how much work it is to open: any amount. A password stored beside it protects nothing."""
        if signing.password:
            raise ValueError("send the key itself, opened: a password would be stored beside it")
        super().check_key(package, signing)


class StandingSchema(MadeSchema):
    """As it is stored: a key that has expired since takes no repository away."""

    def check_key(self, package: str, signing: Signing) -> None:
        """It was checked when it was sent, and is again when something is signed."""


def checked(name: str, project: str, definition: Mapping[str, Any]) -> Repository:
    """The repository that this defines; ValidationError, with messages by key, where it may not."""
    if not re.fullmatch(NAME, name):
        raise ValidationError({"name": [NOT_A_NAME]})
    found = _repository(MadeSchema(), name, project, definition)
    if found.package == "docker" and not valid_name(name):
        raise ValidationError({"name": [NOT_SAYABLE]})
    return found


def standing(defined: Defined) -> Repository:
    """The repository of a stored definition; ValidationError where a later version wrote it."""
    found = _repository(StandingSchema(), defined.name, defined.project, defined.definition)
    return replace(found, created=defined.created)


def _repository(schema: LocalSchema, name: str, project: str, definition: Mapping[str, Any]) -> Repository:
    said = {"access": project, **definition, "project": project}
    return Repository(name=name, kind=Kind.LOCAL, **schema.load(said))
