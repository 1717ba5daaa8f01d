"""What remotes.json may say of its repositories; the descriptions here are those of `artifactapi schema`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from app.formats import FORMATS
from app.formats.oci_names import valid_name
from app.hosting import HOSTED
from app.problems import shown, suggestion
from app.repositories.remote import RemoteSchema
from app.repositories.shapes import Access, Description, Named, Owned, Owner, Package, Project, Strict, says
from app.repositories.values import Flag, Secret, SigningKey
from app.resource import Signing

KEY_FILE = r"^[A-Za-z0-9][A-Za-z0-9@._+-]{0,127}\Z"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z"


class Signed(Strict):
    """A repository whose indexes this server writes."""

    signing_key = SigningKey(
        metadata=says("what its index is signed with: an OpenPGP key (rpm, deb), an RSA key (apk)")
    )
    signing_key_password = Secret(metadata=says("opens the signing key"))
    signing_key_name = fields.String(
        validate=validate.Regexp(KEY_FILE, error="not a file's name such as team.rsa.pub"),
        metadata=says("apk: the name under which clients have the public key"),
    )

    @post_load
    def _sign(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The three keys are one value; a key that cannot sign is found now, not when something is published."""
        given = [data.pop(key, "") for key in ("signing_key", "signing_key_password", "signing_key_name")]
        if not given[0]:
            return data
        signing = Signing(*given)
        try:
            self.check_key(data.get("package", "generic"), signing)
        except ValueError as error:
            raise ValidationError(str(error), "signing_key") from None
        return data | {"signing": signing}

    def check_key(self, package: str, signing: Signing) -> None:
        """ValueError where this is no key for such a repository; the libraries are loaded where there is one."""
        if package in ("rpm", "deb"):
            from app.formats import openpgp

            openpgp.check(signing)
        if package == "apk":
            from app.formats import apk_signature

            apk_signature.check(signing)


class LocalSchema(Signed, Owner):
    """A repository that is published into."""

    package = Package(*(name for name in FORMATS if name in HOSTED))
    description = Description()
    overwrite = Flag(metadata=says("may a path be published again"))
    verify_on_read = Flag(metadata=says("hash stored bytes each time before they are served"))
    access = Access()
    project = Project()
    owned = Owned()
    repodata_depth = fields.Integer(
        strict=True, validate=validate.Range(0, 5), metadata=says("rpm: how many directories deep repodata is kept")
    )

    def unknown_key(self, key: str, known: set[str]) -> str:
        if key in RemoteSchema().fields:
            return "belongs to a remote: a local repository has no upstream"
        return super().unknown_key(key, known)


class VirtualSchema(Signed):
    """Several repositories shown as one."""

    package = Package(*(name for name, each in FORMATS.items() if each.merged))
    description = Description()
    members = fields.List(
        fields.String(),
        required=True,
        validate=validate.Length(1, 64),
        metadata=says("remotes and locals of the same package; the first that has something wins"),
        error_messages={"required": "missing: a virtual needs its members' names"},
    )
    access = Access()

    @post_load
    def _members(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return data | {"members": tuple(data["members"])}

    def unknown_key(self, key: str, known: set[str]) -> str:
        if key in RemoteSchema().fields or key in LocalSchema().fields:
            return "belongs to its members: a virtual has only them"
        return super().unknown_key(key, known)


def repositories(schema: type[Schema], description: str, **more: Any) -> Named:
    name = fields.String(validate=validate.Regexp(NAME, error=NOT_A_NAME))
    return Named(keys=name, values=fields.Nested(schema), metadata={**says(description), **more})


NOT_SAYABLE = (
    "not a name that clients of images can say: lower-case letters and digits, with one dot, one or two "
    "underscores or dashes between them"
)
NOT_A_NAME = "not a name: 1 to 63 letters, digits, dots, dashes and underscores, the first a letter or digit"


class DocumentSchema(Strict):
    """Every repository; each map is name -> repository."""

    remotes = repositories(RemoteSchema, "filled from upstream")
    locals = repositories(LocalSchema, "published into")
    virtuals = repositories(VirtualSchema, "several shown as one")

    @validates_schema(skip_on_field_errors=False)
    def _names_that_clients_can_say(self, data: dict[str, Any], **_: Any) -> None:
        """An image is called <remote>/<name>, so the remote's name is part of it (distribution-spec, <name>)."""
        wrong = [
            name
            for name, remote in data.get("remotes", {}).items()
            if remote.get("package") == "docker" and not valid_name(name)
        ]
        if wrong:
            raise ValidationError({"remotes": {name: [NOT_SAYABLE] for name in wrong}})

    @validates_schema(skip_on_field_errors=False)
    def _members_that_are_there(self, data: dict[str, Any], **_: Any) -> None:
        """Of the same package, each once, and no virtual among them."""
        known = {
            name: each.get("package", "generic")
            for kind in ("remotes", "locals")
            for name, each in data.get(kind, {}).items()
        }
        wrong: dict[str, dict[str, dict[int, list[str]]]] = {}
        for name, virtual in data.get("virtuals", {}).items():
            for number, member in enumerate(virtual.get("members", ())):
                reason = _no_member(member, virtual, known, number, data.get("virtuals", {}))
                if reason:
                    wrong.setdefault(name, {}).setdefault("members", {})[number] = [reason]
        if wrong:
            raise ValidationError({"virtuals": wrong})

    @validates_schema(skip_on_field_errors=False)
    def _one_remote_answers(self, data: dict[str, Any], **_: Any) -> None:
        """A request that names no repository must mean one: the second remote that claims it is wrong."""
        taken: dict[tuple[str, str], str] = {}
        wrong: dict[str, dict[str, list[str]]] = {}
        for name, remote in data.get("remotes", {}).items():
            for key, claim in _claims(remote):
                first = taken.setdefault((key, claim), name)
                if first != name:
                    reason = f"{claim} is remotes.{first}'s already" if claim else f"remotes.{first} is that already"
                    wrong.setdefault(name, {}).setdefault(key, []).append(f"{reason}: only one can be")
        if wrong:
            raise ValidationError({"remotes": wrong})


def _no_member(
    member: str, virtual: Mapping[str, Any], known: Mapping[str, str], number: int, virtuals: Mapping[str, Any]
) -> str:
    """What speaks against a member of a virtual, "" for nothing."""
    if member in virtuals:
        return f"{shown(member)} is a virtual: name its members instead"
    if member not in known:
        return f"{shown(member)} is no remote and no local{suggestion(member, known)}"
    if member in virtual["members"][:number]:
        return f"{shown(member)} is named twice"
    package = virtual.get("package", "generic")
    return "" if known[member] == package else f"{member} is of package {known[member]}, and this is {package}"


def _claims(remote: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, host) of what the remote answers for without its name; no host for `default`."""
    for key in ("serves", "hosts"):
        yield from ((key, host) for host in remote.get(key, ()))
    if remote.get("default"):
        yield "default", ""
