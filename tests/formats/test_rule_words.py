"""The rule that decided, in the words of Resource.rule, which an operator finds in remotes.json or in the format."""

from __future__ import annotations

import re

import pytest

from app.formats import FORMATS
from app.formats.base import PathRules
from app.resource import Ask, Kind, Repository

SHA = "sha256:" + "a1" * 32


def rule(package: str, path: str, patterns: dict[str, list[str]], kind: Kind = Kind.REMOTE) -> str:
    compiled = {key: tuple(re.compile(each) for each in value) for key, value in patterns.items()}
    return FORMATS[package].resolve(Repository("r", kind, package, **compiled), Ask("GET", "r", path)).rule  # type: ignore[arg-type]


I, M = "immutable_patterns", "mutable_patterns"  # noqa: E741


@pytest.mark.parametrize(
    ("package", "path", "patterns", "expected"),
    [
        ("generic", "a.txt", {}, "no patterns: everything is mutable"),
        ("generic", "a.txt", {M: ["b"]}, "no immutable_patterns: everything is mutable"),
        ("generic", "a.txt", {M: ["b", "a"]}, "mutable_patterns[1]"),
        ("generic", "a.txt", {I: ["b", "a", "t"]}, "immutable_patterns[1]"),
        ("generic", "a.txt", {I: ["a"], M: ["a"]}, "mutable_patterns[0]"),
        ("rpm", "repodata/repomd.xml", {I: ["x"]}, "rpm: repomd.xml, which heads the set"),
        ("rpm", "a.rpm", {}, "rpm: a package"),
        ("rpm", "a.rpm", {I: [".*"]}, "immutable_patterns[0]"),
        ("deb", "dists/s/InRelease", {}, "deb: a Release file, which heads the suite"),
        ("deb", "dists/s/main/binary-amd64/Packages.xz", {M: ["."]}, "deb: an index"),
        ("apk", "v3/APKINDEX.tar.gz", {}, "apk: an index"),
        ("docker", "v2/team/app/manifests/1", {}, "docker: a tag"),
        ("docker", "v2/team/app/manifests/1", {M: ["^team/"]}, "docker: a tag, allowed by mutable_patterns[0]"),
        (
            "docker",
            f"v2/team/app/manifests/{SHA}",
            {I: ["x", "app$"]},
            "docker: a manifest by its digest, allowed by immutable_patterns[1]",
        ),
        ("docker", f"v2/team/app/blobs/{SHA}", {}, "docker: a blob by its digest"),
        ("docker", "v2/team/app/tags/list", {}, "docker: a list of tags"),
        ("docker", f"v2/team/app/referrers/{SHA}", {}, "docker: a list of referrers"),
    ],
)
def test_which_rule_decided(package: str, path: str, patterns: dict[str, list[str]], expected: str) -> None:
    assert rule(package, path, patterns) == expected


def test_a_hosted_file_has_no_other_rule() -> None:
    assert rule("rpm", "repodata/repomd.xml", {}, Kind.LOCAL) == "local: kept as it was published"


@pytest.mark.parametrize("name", [name for name, each in FORMATS.items() if isinstance(each, PathRules)])
def test_every_rule_of_a_format_has_words(name: str) -> None:
    found = FORMATS[name]
    assert isinstance(found, PathRules)
    assert [each.regex.pattern for each in found.rules if not 4 < len(each.words) < 50] == []
