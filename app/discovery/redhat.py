"""*.repo of dnf and yum. Source: dnf.conf(5), "Repo options", "Variables"."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.discovery.found import Found, Note, address

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_FILES = (("sslcacert", "ca_file"), ("sslclientcert", "client_cert"), ("sslclientkey", "client_key"))
_OFF = frozenset({"0", "no", "false", "off"})
_ARCH = {"i386": "i386", "i686": "i386", "armv7l": "armhfp"}


def variables(os_release: str, machine: str, own: Mapping[str, str]) -> dict[str, str]:
    """What $releasever and the like stand for; `own` are the files of /etc/dnf/vars."""
    told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    release = told.get("VERSION_ID", "")
    if "rhel" in told.get("ID_LIKE", "").split() or told.get("ID") == "rhel":
        release = release.partition(".")[0]
    known = {"releasever": release, "basearch": _ARCH.get(machine, machine), "arch": machine}
    return {name: value for name, value in {**known, **own}.items() if value}


def repo(text: str, known: Mapping[str, str]) -> Iterator[Found]:
    """Every repository that is enabled. Raises ValueError."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(f"is no .repo file: {type(error).__name__}") from None
    for section in parser.sections():
        if section != "main" and parser.get(section, "enabled", fallback="1").strip().lower() not in _OFF:
            yield from _repository(section, parser, known)


def _repository(section: str, parser: configparser.RawConfigParser, known: Mapping[str, str]) -> Iterator[Found]:
    login = "basic" if parser.get(section, "username", fallback="") else ""
    files: dict[str, Any] = {key: parser.get(section, option, fallback="").strip() for option, key in _FILES}
    yield from _notes(section, parser)
    for option, key in (("baseurl", "base_url"), ("metalink", "metalink"), ("mirrorlist", "mirrorlist")):
        urls = parser.get(section, option, fallback="").replace(",", " ").split()
        for number, url in enumerate(urls):
            whole = _VARIABLE.sub(lambda match: known.get(match[1] or match[2], match[0]), url)
            if _VARIABLE.search(whole):
                yield Note(f"{section}: nothing here says what {_VARIABLE.search(whole)[0]} stands for")  # type: ignore[index]
                continue
            name = f"{section}-{number + 1}" if number else section
            yield address("rpm", whole, name, key=key, login=login, **files)
        if urls:
            return


def _notes(section: str, parser: configparser.RawConfigParser) -> Iterator[Note]:
    """What is dialled otherwise here; of a proxy only that there is one, for its address may hold a secret."""
    if parser.get(section, "proxy", fallback="").strip().lower() not in ("", "_none_"):
        yield Note(f"{section}: its proxy is not taken over: name it in upstream.proxy")
    if parser.get(section, "sslverify", fallback="1").strip().lower() in _OFF:
        yield Note(f"{section}: upstream's certificate is checked here: upstream.ca_file names what by")
