"""What every object in remotes.json has in common: known keys only, and what is not built yet refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from app.accounts.rights import AUTHENTICATED, EVERYBODY, PUBLIC, RESERVED
from app.formats import FORMATS
from app.problems import shown, suggestion

# Named in API.md or CLIENTS.md, refused by name until they are built.
# fmt: off
KEYS_TO_COME = frozenset(("quota", "rate"))
ALSO_CALLED = {
    "alpine": "apk", "apt": "deb", "debian": "deb", "dnf": "rpm", "dotnet": "nuget", "forge": "puppet",
    "gem": "rubygems", "oci": "docker", "opentofu": "terraform", "tofu": "terraform", "yum": "rpm",
}
# fmt: on


PROJECT = r"^(?:[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)?\Z"
NO_PROJECT = "not a project's name: 1 to 63 lower-case letters and digits, with dots, dashes, underscores between"


def says(description: str) -> dict[str, Any]:
    """A field's metadata."""
    return {"description": description}


class Strict(Schema):
    """A schema that names each unknown key, the likely meant one, and what is not built yet."""

    error_messages = {"type": "not an object"}  # noqa: RUF012 - marshmallow's own way

    class Meta:
        unknown = EXCLUDE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _only_known_keys(self, data: Any, original: Any, **_: Any) -> None:
        known = {each.data_key or name for name, each in self.fields.items()}
        strange = [key for key in original if key not in known] if isinstance(original, Mapping) else []
        if strange:
            raise ValidationError({key: [self.unknown_key(key, known)] for key in strange})

    def unknown_key(self, key: str, known: set[str]) -> str:
        if key in KEYS_TO_COME:
            return "not built in this version: remove the key"
        return f"unknown key{suggestion(key, known)}"


class Package(fields.String):
    """One of the formats that the repository's kind can have."""

    def __init__(self, *packages: str) -> None:
        super().__init__(
            validate=[self._check], metadata={**says("the format of the repository"), "enum": list(packages)}
        )
        self.packages = packages

    def _check(self, value: str) -> None:
        if value in self.packages:
            return
        if value in FORMATS:
            raise ValidationError(f"{value} is not built in this version: {', '.join(self.packages)} here")
        meant = ALSO_CALLED.get(value.lower(), value)
        raise ValidationError(f"{shown(value)} is not a package type{suggestion(meant, self.packages)}")


class Named(fields.Dict):
    """An object whose keys are names; an error is keyed by the name, without marshmallow's key and value."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            found = {name: each.get("key") or each["value"] for name, each in error.messages.items()}
            raise ValidationError(found, valid_data=error.valid_data) from None


def _no_word(value: str) -> None:
    if value in RESERVED:
        raise ValidationError(
            f'{shown(value)} is no project: it is "{EVERYBODY}", "{AUTHENTICATED}" or a project\'s name'
        )


class Access(fields.String):
    """ "everybody" is PUBLIC, and so is "", which has always been read."""

    def __init__(self) -> None:
        super().__init__(
            validate=[validate.Regexp(PROJECT, error=NO_PROJECT), self._check],
            metadata=says('who may read it: "everybody", "authenticated" (whoever has a token), or a project\'s name')
            | {"default": EVERYBODY},
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> str:
        found: str = super()._deserialize(value, attr, data, **more)
        return PUBLIC if found == EVERYBODY else found

    def _check(self, value: str) -> None:
        if value != AUTHENTICATED:
            _no_word(value)


class Project(fields.String):
    def __init__(self) -> None:
        super().__init__(
            validate=[validate.Regexp(PROJECT, error=NO_PROJECT), _no_word],
            metadata=says("the project whose writers publish into it; without one administrators do"),
        )


class Description(fields.String):
    def __init__(self) -> None:
        super().__init__(validate=validate.Length(max=1000), metadata=says("shown to people"))


class Owner(Strict):
    """A repository that can own names; a pattern that matches none would protect nothing, and nobody would know."""

    @validates_schema
    def _spelled(self, data: dict[str, Any], **_: Any) -> None:
        known = FORMATS[data.get("package", "generic")]
        pairs = [(each, known.spelled(each)) for each in data.get("owned", ())]
        wrong = {
            number: [f"matches no name of {known.name}: write {shown(meant)}"]
            for number, (each, meant) in enumerate(pairs)
            if each != meant
        }
        if wrong:
            raise ValidationError({"owned": wrong})


class Owned(fields.List[str]):
    """Names of packages; * stands for anything, ? for one character."""

    def __init__(self) -> None:
        one = fields.String(validate=validate.Regexp(r"^[^\x00-\x20\x7f]{1,255}\Z", error="not a package's name"))
        super().__init__(
            one,
            validate=validate.Length(max=1024),
            metadata=says("packages (team-*) that a virtual looks for in no member but those that own them"),
        )

    def _deserialize(self, *given: Any, **more: Any) -> Any:
        return tuple(super()._deserialize(*given, **more))
