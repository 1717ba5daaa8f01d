"""What a remote may say, key by key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.formats import FORMATS
from app.repositories.addresses import MIRROR_LIST, BaseURL, Host, ListURL, is_mirror_list
from app.repositories.dialling import UpstreamSchema
from app.repositories.shapes import Access, Description, Owned, Owner, Package, Strict, says
from app.repositories.values import Flag, Off, Pattern, Seconds, Secret, Tag

TEN_YEARS = 10 * 365 * 86400.0
SOURCES = ("base_url", "base_urls", "metalink", "mirrorlist")  # a remote has exactly one of them
# package -> what its clients are pointed at, and people copy: base_url is the directory of that
ENTRANCES = {"nuget": "/index.json", "helm": "/index.yaml"}
# package -> its own keys and their JSON types
OF_ONE_PACKAGE = {
    "docker": {
        "serves": "array",
        "hosts": "array",
        "default": "boolean",
        "ban_tags_enabled": "boolean",
        "ban_tags": "array",
        "upstream.auth_hosts": "array",
    },
    "rpm": {"metalink": "string", "mirrorlist": "string"},
}


def patterns(description: str) -> fields.List[re.Pattern[str]]:
    return fields.List(Pattern(), validate=validate.Length(max=256), metadata=says(description))


def hosts_of(description: str) -> fields.List[str]:
    return fields.List(Host(), validate=validate.Length(max=64), metadata=says(description))


class CacheSchema(Strict):
    """`cache` of a remote."""

    immutable_ttl = Seconds(
        0, TEN_YEARS, forever=True, metadata=says("how long immutable paths keep; 0 is forever, the default")
    )
    mutable_ttl = Seconds(
        0, TEN_YEARS, forever=True, metadata=says("how long mutable paths keep; 0 revalidates every time")
    )

    @post_load
    def _forever(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "immutable_ttl" in data:
            data["immutable_ttl"] = data["immutable_ttl"] or None
        return data


class RemoteSchema(Owner):
    """A repository that is filled from upstream."""

    package = Package(*FORMATS)
    description = Description()
    base_url = BaseURL(metadata=says("where upstream is; a directory, not a mirror list"))
    base_urls = fields.List(BaseURL(), validate=validate.Length(1, 16), metadata=says("several, tried in this order"))
    metalink = ListURL(metadata=says("rpm: instead of a base_url, the list of mirrors with their index's checksum"))
    mirrorlist = ListURL(metadata=says("rpm: instead of a base_url, the plain list of mirrors"))
    immutable_patterns = patterns("the paths that are served and never change; none allows every path")
    mutable_patterns = patterns("paths that are served and revalidated")
    cache = fields.Nested(CacheSchema, metadata=says("how long things keep"))
    check_mutable_updates = Flag(metadata=says("revalidate with a conditional request"))
    on_upstream_gone = fields.String(
        validate=validate.OneOf(["keep", "drop"]),
        metadata=says("what happens to a stored copy that upstream no longer has"),
    )
    upstream = fields.Nested(UpstreamSchema, metadata=says("how upstream is dialled"))
    username = Secret(metadata=says("upstream's credentials"))
    password = Secret(metadata=says("upstream's credentials"))
    offline = Flag(metadata=says("never dial upstream"))
    verify_on_read = Flag(metadata=says("hash stored bytes each time before they are served"))
    serves = hosts_of("docker: registries answered for where a client names one with ?ns=")
    hosts = hosts_of("docker: host names under which this remote is reached without its name")
    default = Flag(metadata=says("docker: answers where nothing else names a repository"))
    ban_tags_enabled = Flag(metadata=says("docker: refuse ban_tags"))
    ban_tags = fields.List(
        Tag(), validate=validate.Length(max=1024), metadata=says("docker: tags that are refused, never their digests")
    )
    access = Access()
    owned = Owned()
    quarantine_new = Off(False, "hold back new versions")
    quarantine_days = Off(0, "how long they are held back")

    def unknown_key(self, key: str, known: set[str]) -> str:
        if key == "overwrite":
            return "belongs to a local repository"
        if key == "members":
            return "belongs to a virtual repository"
        return super().unknown_key(key, known)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _one_upstream(self, data: Any, original: Any, **_: Any) -> None:
        given = [key for key in SOURCES if isinstance(original, Mapping) and key in original]
        if isinstance(original, Mapping) and not given:
            raise ValidationError("missing: a remote needs its upstream's URL", "base_url")
        if given == ["base_url", "base_urls"]:
            raise ValidationError("given beside base_url: put every URL into one of the two", "base_urls")
        if len(given) > 1:
            raise ValidationError(f"given beside {given[0]}: keep one of them", given[-1])

    @validates_schema
    def _of_one_package(self, data: dict[str, Any], **_: Any) -> None:
        """What only one format gives a meaning; a value that says "off" may stand anywhere."""
        package = data.get("package", "generic")
        said = {**data, "upstream.auth_hosts": data["upstream"].auth_hosts if "upstream" in data else ()}
        strange = {
            key: [f"belongs to package {owner}, and this is {package}: remove the key"]
            for owner, keys in OF_ONE_PACKAGE.items()
            for key in keys
            if owner != package and said.get(key)
        }
        if strange:
            raise ValidationError(strange)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _no_mirror_list(self, data: Any, original: Any, **_: Any) -> None:
        """A list of mirrors has no repodata beside it; dnf would be sent to a repository that is not there."""
        if isinstance(original, Mapping) and original.get("package") == "rpm":
            several = original.get("base_urls")
            urls = several if isinstance(several, list) else []
            wrong = {number: [MIRROR_LIST] for number, url in enumerate(urls) if is_mirror_list(url)}
            one = [MIRROR_LIST] if is_mirror_list(original.get("base_url")) else []
            if one or wrong:
                raise ValidationError({"base_url": one} if one else {"base_urls": wrong})

    @validates_schema
    def _credentials(self, data: dict[str, Any], **_: Any) -> None:
        if "password" in data and "username" not in data:
            raise ValidationError("there is no username beside it", "password")
        if ":" in data.get("username", ""):
            raise ValidationError("a colon cannot be part of it (RFC 7617)", "username")
        headers = data["upstream"].headers if "upstream" in data else {}
        if "username" in data and any(name.lower() == "authorization" for name in headers):
            raise ValidationError("given beside an Authorization header: keep one of them", "username")

    @post_load
    def _flatten(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The fields of Repository, and the tags that are banned as the file says it."""
        one, cache = data.pop("base_url", None), data.pop("cache", {})
        for key in ("immutable_patterns", "mutable_patterns"):
            data[key] = tuple(data.get(key, ()))
        entrance = ENTRANCES.get(data.get("package", ""), "")
        bases = (one,) if one else data.get("base_urls", ())
        data["base_urls"] = tuple(each.removesuffix(entrance).rstrip("/") for each in bases)
        for key in ("serves", "hosts", "ban_tags"):
            data[key] = tuple(dict.fromkeys(data.get(key, ())))
        known = {key: value for key, value in data.items() if not isinstance(self.fields[key], Off)}
        return {**known, **cache}
