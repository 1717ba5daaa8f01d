"""What the API's JSON is made of: texts that a database can keep, times, roles, pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app import times
from app.accounts import secrets
from app.accounts.rights import Role
from app.stores.accounts import lowered
from app.web.documented import PROJECT, REPOSITORY

HIGHEST = 2**63 - 1  # of a number in the database
MOST = 1000  # of a page
PLAIN = r"[^\x00-\x1f\x7f]*"
EMAIL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*"  # HTML, 4.10.5.1.5
NAMES = "1 to 63 letters, digits, dots, dashes, underscores"
PROJECT_NAMES = "1 to 63 lower-case letters and digits, with dots, dashes, underscores between"
NEXT = {"description": "what the page before gave as such"}
SCOPE = rf"read|write|admin|(?:read|write):{REPOSITORY}"


class Text(fields.String):
    """A text that is wholly like `pattern`; `wants` says that in words."""

    def __init__(
        self, longest: int, pattern: str = PLAIN, *, wants: str = "", shortest: int = 0, **more: Any
    ) -> None:
        said = {"pattern": f"^(?:{pattern})$", **({"description": wants} if wants else {})}
        checks: list[Any] = [validate.Length(shortest, longest), self._fits]
        super().__init__(validate=checks, metadata=said | more.pop("metadata", {}), **more)
        self._pattern, self._wants = re.compile(pattern), wants

    def _fits(self, value: str) -> None:
        if not self._pattern.fullmatch(value):
            raise ValidationError(f"Not {self._wants or 'a text without control characters'}.")


class Email(Text):
    """In lower case: two that differ in nothing else are one."""

    def __init__(self, **more: Any) -> None:
        super().__init__(254, EMAIL, wants="an e-mail address", shortest=3, **more)

    def _deserialize(self, value: Any, attr: Any, data: Any, **more: Any) -> str:
        return lowered(super()._deserialize(value, attr, data, **more))


class Password(fields.String):
    """A new one."""

    def __init__(self, **more: Any) -> None:
        super().__init__(validate=validate.Length(secrets.SHORTEST, secrets.LONGEST), load_only=True, **more)


class ProjectName(Text):
    def __init__(self, **more: Any) -> None:
        super().__init__(63, PROJECT, wants=PROJECT_NAMES, shortest=1, **more)


class RepositoryName(Text):
    def __init__(self, **more: Any) -> None:
        super().__init__(63, REPOSITORY, wants=NAMES, shortest=1, **more)


class Moment(fields.String):
    """Unix seconds as ISO 8601 in UTC; null for 0."""

    def __init__(self, **more: Any) -> None:
        said = {"format": "date-time"} | more.pop("metadata", {})
        super().__init__(metadata=said, allow_none=True, dump_only=True, **more)

    def _serialize(self, value: Any, attr: Any, obj: Any, **_: Any) -> str | None:
        return times.written(value) if value else None


class Part(fields.String):
    """A Role by its name in lower case; those up to `highest`."""

    def __init__(self, highest: Role = Role.OWNER, **more: Any) -> None:
        names = [role.name.lower() for role in Role if role <= highest]
        super().__init__(validate=validate.OneOf(names), **more)

    def _serialize(self, value: Any, attr: Any, obj: Any, **_: Any) -> str | None:
        return Role(value).name.lower() if value else None


class Scopes(fields.List[Any]):
    """Of a token; in order where they are told."""

    def __init__(self, **more: Any) -> None:
        said = Text(80, SCOPE, wants="read, write, admin, read:<repository> or write:<repository>")
        super().__init__(said, validate=validate.Length(1, 50), **more)

    def _serialize(self, value: Any, attr: Any, obj: Any, **_: Any) -> list[str]:
        return sorted(value)


class Page(Schema):
    """What a list is asked with."""

    after = fields.Integer(
        load_default=0,
        validate=validate.Range(0, HIGHEST),
        metadata=NEXT,
    )
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))


def following(found: Sequence[Any], limit: int, name: str = "id") -> Any:
    """`after` of the next page; None where this one is the last."""
    return getattr(found[-1], name) if len(found) >= limit else None
