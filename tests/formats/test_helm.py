"""helm: what upstream's index.yaml may be, what clients get instead, and which charts a virtual has."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
import yaml

from app.formats import FORMATS, helm_yaml
from app.formats.helm import INDEX
from app.formats.helm_versions import chart_of
from app.resource import Ask, Digest, Kind, Located, Repository, Resource
from tests.formats.made import BASE, remote, virtual, written

HELM = FORMATS["helm"]
SUM = "0123456789abcdef" * 4


def index(*versions: str, more: str = "") -> bytes:
    """One of charts in JSON, by name."""
    charts: dict[str, list[str]] = {}
    for each in versions:
        charts.setdefault(json.loads(each)["name"], []).append(each)
    lines = (f"  {name}:\n" + "".join(f"  - {each}\n" for each in found) for name, found in charts.items())
    return ("apiVersion: v1\nentries:\n" + "".join(lines) + more).encode()


def version(name: str, number: str, url: str = "", **more: Any) -> str:
    urls = [url or f"{name}-{number}.tgz"]
    return json.dumps({"apiVersion": "v2", "name": name, "version": number, "urls": urls, **more})


def made(repository: Repository, bodies: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written(repository, INDEX, bodies))
    return found


def told(repository: Repository, **bodies: bytes) -> list[str]:
    """Every chart of the made index as name-version."""
    entries = made(repository, bodies)["entries"]
    return [f"{each['name']}-{each['version']}" for versions in entries.values() for each in versions]


# -- one remote ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "digest", "path"),
    [
        ("demo-1.0.0.tgz", SUM, f"charts/demo/1.0.0/{SUM[:16]}/demo-1.0.0.tgz"),
        ("sub/demo-1.0.0.tgz", f"sha256:{SUM.upper()}", f"charts/demo/1.0.0/{SUM[:16]}/demo-1.0.0.tgz"),
        ("https://other.example.org/a/b.tgz?token=x#y", "", "charts/demo/1.0.0/-/b.tgz"),
        ("https://other.example.org/demo%2D1.tar.gz", "", "charts/demo/1.0.0/-/demo-1.tar.gz"),
        ("https://other.example.org/download?id=1", "md5:x", "charts/demo/1.0.0/-/demo-1.0.0.tgz"),
        ("https://other.example.org/..%2F..%2Fx.tgz", "", "charts/demo/1.0.0/-/demo-1.0.0.tgz"),
        ("//other.example.org/demo-1.0.0.tgz", "", "charts/demo/1.0.0/-/demo-1.0.0.tgz"),
        ("oci://registry.example.org/demo:1.0.0", SUM, "oci://registry.example.org/demo:1.0.0"),
        ("file:///etc/passwd", "", "file:///etc/passwd"),
    ],
)
def test_a_chart_is_below_the_index_wherever_it_is_upstream(url: str, digest: str, path: str) -> None:
    entry = version(
        "demo", "1.0.0", url, digest=digest, created="2020-01-02T03:04:05.678Z", annotations={"a": "b\u2028"}
    )
    body = written(remote("helm"), INDEX, {"r": index(entry)})
    (found,) = json.loads(body)["entries"]["demo"]
    assert found == {**json.loads(entry), "urls": [path]}
    assert yaml.safe_load(body)["entries"]["demo"][0]["annotations"] == {"a": "b\u2028"}


def test_what_else_the_index_says_is_kept() -> None:
    more = "generated: 2020-01-02T03:04:05Z\nannotations: {a: b}\nserverInfo: {contextPath: /x}\n"
    found = made(remote("helm"), {"r": index(more=more)})
    assert list(found) == ["apiVersion", "annotations", "entries", "generated", "serverInfo"]
    assert found["generated"] == "2020-01-02T03:04:05Z"


BLOCK = """\
%YAML 1.1
--- # as some editors write it
x-shared: &shared
    home: https://example.org   # kept
    keywords: [one, 'two', "th\\u0072ee"]
entries:
      demo:
      -   <<: *shared
          name: demo
          version: 1.10
          appVersion: 0x1F
          deprecated: yes
          icon: ~
          description: |+
            several
              lines

          kubeVersion: ">=1.20
             -0"
          annotations: {"a": !!str 1, b: "\\U0001F600 \\ud83d"}
          urls:
          - demo.tgz
      - null
      - {version: 1.0.0}
apiVersion: v1
...
---
another: document
"""


def test_json_is_read_as_it_is() -> None:
    body = b'{"entries": {"a": [{"name": "a", "version": "1.0.0", "home": "\\ud83d\\ude00", "description": 1.10}]}}'
    (entry,) = made(remote("helm"), {"r": body})["entries"]["a"]
    assert (entry["home"], entry["description"]) == ("\U0001f600", "1.10")


def test_an_error_of_making_names_the_repository() -> None:
    with pytest.raises(ValueError, match=r"^r: index\.yaml has no entries"):
        written(remote("helm"), INDEX, {"r": BAD["no entries"]})


def test_yaml_that_only_a_real_parser_reads() -> None:
    text = BLOCK.replace(" \\ud83d", "")
    (entry,) = made(remote("helm"), {"r": text.encode()})["entries"]["demo"]
    assert entry == {
        "home": "https://example.org",
        "keywords": ["one", "two", "three"],
        "name": "demo",
        "version": "1.10",
        "appVersion": "0x1F",
        "deprecated": True,
        "icon": None,
        "description": "several\n  lines\n\n",
        "kubeVersion": ">=1.20 -0",
        "annotations": {"a": "1", "b": "\U0001f600"},
        "urls": ["charts/demo/1.10/-/demo.tgz"],
    }


NASTY = ["", " ", "a: b", "a #b", "- x", "'", '"', "1.10", "yes", "null", "# c", "x\n\ny\n", "\n x", "\u00e9\u00a0"]
NASTY += [
    "*a",
    "&x",
    "!t",
    "%y",
    "|",
    ">",
    "@",
    "`",
    "? q",
    "a\tb",
    "\\n",
    "a\\",
    "{x}",
    "[y], z",
    "x " * 60,
    "a,\nb",
]


@pytest.mark.parametrize("style", [None, '"', "'", "|", ">"])
@pytest.mark.parametrize("width", [20, 80, 10_000])
def test_both_readers_of_yaml_say_the_same(style: str | None, width: int) -> None:
    """Everything that a writer of YAML makes of nasty texts, in each of its styles."""
    chance = random.Random(7)
    for _ in range(20):
        said = {f"k{n}": [chance.choice(NASTY), {"m": chance.choice(NASTY), "n": None}] for n in range(30)}
        body = yaml.safe_dump(said, default_style=style, width=width, allow_unicode=True)
        assert helm_yaml.checked(body.encode()) == said
        assert helm_yaml.read(body.encode()) == said
        assert helm_yaml._odd(body.encode(), body) or helm_yaml._quick(body.encode(), body) == said


BOMB = "\n".join(f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
BAD = {
    "page": b"<!DOCTYPE html><html><body>Log in: please</body></html>",
    "text": b"Not found",
    "nothing": b"",
    "list": b"- entries",
    "no entries": b"apiVersion: v1\n",
    "entries in a list": b"apiVersion: v1\nentries: [a]\n",
    "a chart that is no list": b"entries: {a: {name: a}}\n",
    "a version that is no map": b"entries: {a: [x]}\n",
    "broken": b'entries:\n  a:\n  - name: "x\n',
    "broken JSON": b'{"entries": {"a": [',
    "deep": b"entries: " + b"[" * 100_000,
    "deep JSON": b'{"entries": ' * 100_000,
    "bomb": f"entries:\n  a: &a0 []\n{BOMB}\n".encode(),
    "itself": b"entries: &a {a: *a}\n",
    "no UTF-8": b"entries: {a: \xff}\n",
    "half a character": b'x: "\\ud800"\nentries: {}\n',
    "half a character in JSON": b'{"entries": {"a": [{"name": "a", "version": "1", "home": "\\ud800"}]}}',
    "control": b"entries: {a: \x00}\n",
    "too many values": b"entries: {" + b"," * helm_yaml.MOST + b"}",
    "rubbish behind it": b"#\n{apiVersion: v1, entries: {}}\n]]]",
    "rubbish behind its end": b"#\n{apiVersion: v1, entries: {}}\n... garbage }}}",
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_index_is_refused(kind: str) -> None:
    resource = HELM.resolve(remote("helm"), Ask("GET", "r", INDEX))
    with pytest.raises(ValueError, match=r"."):
        HELM.read(resource.sources[0], BytesIO(BAD[kind]))


@pytest.mark.parametrize("more", [b"\r".join([b"- a: "] * 200), b"- " * 30 + b"a", b" [" + b"[a], " * 90 + b"]"])
def test_values_are_counted_wherever_lines_end(monkeypatch: pytest.MonkeyPatch, more: bytes) -> None:
    body = b"entries: {}\rx:\r" + more
    assert isinstance(helm_yaml.checked(body), dict)
    monkeypatch.setattr(helm_yaml, "_NODES", 30)
    with pytest.raises(ValueError, match="more than 30 values"):
        helm_yaml.checked(body)


def test_what_is_merged_comes_behind_in_its_order() -> None:
    said = helm_yaml.checked(b"x: {<<: [{a: 1, b: 1}, {b: 2, c: 2}], a: 0}\n")
    assert said == {"x": {"a": "0", "b": "1", "c": "2"}}


def test_many_merged_maps_are_merged_quickly() -> None:
    """It took sixteen seconds where each was merged into a map of its own."""
    keys, begun = ", ".join(f"k{number}: v" for number in range(60_000)), time.process_time()
    assert helm_yaml.checked(f"x: {{{keys}, <<: [{'{}, ' * 60_000}]}}\n".encode())
    assert time.process_time() - begun < 8


def located(path: str, body: bytes) -> Located | None:
    resource = HELM.resolve(remote("helm"), Ask("GET", "r", path))
    assert resource.named_in is not None
    assert resource.named_in.path == INDEX
    return HELM.locate(resource, BytesIO(body))


def test_a_chart_is_where_the_index_says() -> None:
    other = "f" * 64
    body = index(
        version("demo", "1.0.0", "oci://x/y", digest=SUM),
        version("demo", "1.0.1+b", "https://h.example.org/a.tgz?q", digest=SUM),
        version("demo", "1.0.2", "rel/a.tgz"),
    )
    where = f"charts/demo/1.0.1+b/{SUM[:16]}/a.tgz"
    assert located(where, body) == Located("https://h.example.org/a.tgz?q", Digest("sha256", SUM))
    assert located(f"{where}.prov", body) == Located("https://h.example.org/a.tgz?q.prov")
    assert located("charts/demo/1.0.2/-/a.tgz", body) == Located("rel/a.tgz")
    for absent in ("demo/1.0.0/" + SUM[:16], "demo/1.0.1+b/-", f"demo/1.0.1+b/{other[:16]}", "other/1.0.2/-"):
        assert located(f"charts/{absent}/a.tgz", body) is None


def test_patterns_say_what_is_in_the_index() -> None:
    narrow = replace(remote("helm"), immutable_patterns=(re.compile(r"charts/demo/"),))
    body = index(version("demo", "1.0.0"), version("other", "1.0.0"), version("other", "2.0.0", "oci://x/y"))
    assert told(narrow, r=body) == ["demo-1.0.0", "other-2.0.0"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("demo-1.0.0.tgz", "demo"),
        ("demo-1.0.0.tgz.prov", "demo"),
        ("a-b-2-v1.0.0-rc.1+b.5.tgz", "a-b-2"),
        ("a-1.0.0-2.0.0.tgz", "a"),
        ("demo-1.0.tgz", ""),
        ("demo-1.0.0.txt", ""),
        ("1.0.0.tgz", ""),
    ],
)
def test_the_chart_that_a_file_is_of(file: str, name: str) -> None:
    assert chart_of(file) == name
    assert HELM.named(f"some/where/{file}") == name
    assert HELM.named(f"charts/x-1.0.0/1.0.0/-/{file}") == ("x-1.0.0" if ".tgz" in file else "")


# -- several ------------------------------------------------------------------------------------------------

ONE, TWO = remote("helm", "one"), remote("helm", "two")
TEAM = Repository("team", Kind.LOCAL, "helm")


def test_the_first_member_wins_and_the_last_is_found() -> None:
    one = index(version("demo", "1.9.0", home="one"), more="generated: 2020-01-02T03:04:05Z\n")
    two = index(version("demo", "1.9.0", home="two"), version("demo", "1.10.0"), version("late", "1.0.0"))
    both = virtual("helm", ONE, TWO)
    assert told(both, one=one, two=two) == ["demo-1.10.0", "demo-1.9.0", "late-1.0.0"]
    found = made(both, {"one": one, "two": two})
    assert found["entries"]["demo"][1]["home"] == "one"
    assert (found["apiVersion"], found["generated"]) == ("v1", "2020-01-02T03:04:05Z")
    assert told(both, two=two) == ["demo-1.9.0", "demo-1.10.0", "late-1.0.0"]  # of one, in its own order
    assert written(both, INDEX, {"one": one, "two": two}) == written(both, INDEX, {"one": one, "two": two})


def test_a_name_that_a_member_owns_is_nobody_elses() -> None:
    owner = replace(TWO, owned=("team-*",))
    body = index(version("team-a", "9.0.0"), version("other", "1.0.0"))
    assert told(virtual("helm", ONE, owner), one=body) == ["other-1.0.0"]
    assert told(virtual("helm", ONE, owner), one=body, two=index(version("team-a", "1.0.0"))) == [
        "other-1.0.0",
        "team-a-1.0.0",
    ]
    smuggled = index(version("other", "1.0.0")).replace(b'"name": "other"', b'"name": "team-a"')
    assert told(virtual("helm", ONE, owner), one=smuggled) == []


def test_a_name_that_a_local_member_has_is_looked_for_nowhere_else() -> None:
    local = index(version("inner", "1.0.0"))
    public = index(version("inner", "9.0.0"), version("other", "1.0.0"))
    assert told(virtual("helm", ONE, TEAM), one=public, team=local) == ["other-1.0.0", "inner-1.0.0"]
    hosted = HELM.resolve(TEAM, Ask("GET", "team", f"charts/inner/1.0.0/{SUM[:16]}/x.tgz.prov"))
    assert (hosted.key, hosted.named_in) == ("inner-1.0.0.tgz.prov", None)


@pytest.mark.parametrize(
    "more",
    [
        {"unknown": 1},
        {"Name": "other"},
        {"keywords": "a"},
        {"keywords": ["a", {"b": "c"}]},
        {"maintainers": [{"name": "Ann", "nick": "A"}]},
        {"annotations": {"a": True}},
        {"created": "yesterday"},
        {"deprecated": "perhaps"},
        {"dependencies": [{"name": "x", "enabled": "x"}]},
    ],
)
def test_a_version_that_would_make_helm_read_nothing_is_left_out_of_several(more: dict[str, Any]) -> None:
    bad = index(version("bad", "1.0.0", **more), version("good", "1.0.0"))
    assert told(virtual("helm", ONE, TWO), one=bad) == ["good-1.0.0"]
    assert told(ONE, one=bad) == ["bad-1.0.0", "good-1.0.0"]


def test_resources_of_a_virtual() -> None:
    both = virtual("helm", ONE, TEAM)
    path = f"charts/inner/1.0.0/{SUM[:16]}/x.tgz"
    found = HELM.resolve(both, Ask("GET", "all", path))
    assert [each.key for each in found.among] == [path, "inner-1.0.0.tgz"]
    assert found.package == "inner"
    sources: list[Resource] = list(HELM.resolve(both, Ask("GET", "all", INDEX)).sources)
    assert [(each.index, each.key == INDEX) for each in sources] == [(True, False), (False, True)]
    assert ONE.base_urls[0] == BASE
