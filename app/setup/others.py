"""Configurations of Maven, NuGet, helm, Terraform and OpenTofu, Puppet, and of curl for everything else.

Source: maven.apache.org/settings.html; learn.microsoft.com/nuget/reference/nuget-config-file; helm's `helm repo add`;
developer.hashicorp.com/terraform/cli/config/config-file; Puppet, configuration reference, module_repository; curl(1).
"""

from __future__ import annotations

import json
import shlex
from xml.sax.saxutils import escape, quoteattr

from app.setup.place import PLACEHOLDER, Place, comment, with_token

_ALWAYS = "<enabled>true</enabled>"


def maven(place: Place) -> str:
    """For ~/.m2/settings.xml: everything that Maven looks for is looked for here."""
    name, url = escape(place.name), escape(f"{place.url}/")
    server = f"<server><id>{name}</id><username>token</username><password>{PLACEHOLDER}</password></server>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- {_remark(place)} -->
<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <servers>{server if place.private else ""}</servers>
  <mirrors>
    <mirror><id>{name}</id><mirrorOf>*</mirrorOf><url>{url}</url><blocked>false</blocked></mirror>
  </mirrors>
</settings>
"""


def nuget(place: Place) -> str:
    """For ~/.nuget/NuGet/NuGet.Config."""
    insecure = ' allowInsecureConnections="true"' if place.plain else ""
    key, url = quoteattr(place.name), quoteattr(f"{place.url}/index.json")
    login = f"""  <packageSourceCredentials>
    <{_element(place.name)}>
      <add key="Username" value="token" />
      <add key="ClearTextPassword" value="{PLACEHOLDER}" />
    </{_element(place.name)}>
  </packageSourceCredentials>
"""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!-- {_remark(place)} -->
<configuration>
  <packageSources>
    <clear />
    <add key={key} value={url} protocolVersion="3"{insecure} />
  </packageSources>
{login if place.private else ""}</configuration>
"""


def helm(place: Place) -> str:
    """For ~/.config/helm/repositories.yaml."""
    told = {"name": place.name, "url": place.url}
    if place.private:
        told |= {"username": "token", "password": PLACEHOLDER}
    lines = [
        f"{'  ' if number else '- '}{key}: {json.dumps(value)}" for number, (key, value) in enumerate(told.items())
    ]
    return comment(place) + "\n".join(['apiVersion: ""', "repositories:", *lines]) + "\n"


def terraform(place: Place) -> str:
    """For ~/.terraformrc; it takes https only."""
    url = json.dumps(f"{place.url}/mirror/")
    lines = ["provider_installation {", "  network_mirror {", f"    url = {url}", "  }", "}"]
    if place.private:
        host = json.dumps(place.host)
        lines += [f"credentials {host} {{", f"  token = {json.dumps(PLACEHOLDER)}", "}"]
    return comment(place) + "\n".join(lines) + "\n"


def puppet(place: Place) -> str:
    """For ~/.puppetlabs/etc/code or /etc/puppetlabs/puppet: where `puppet module install` looks."""
    return comment(place) + f"[main]\nmodule_repository = {with_token(place)}\n"


def curl(place: Place) -> str:
    """A line of a shell."""
    login = f" --user token:{PLACEHOLDER}" if place.private else ""
    return comment(place) + f"curl --fail --location --remote-name{login} {shlex.quote(f'{place.url}/PATH')}\n"


def _element(name: str) -> str:
    """A source's name as that of an element (System.Xml.XmlConvert.EncodeName)."""
    safe = "".join(each if each.isalnum() or each in "._-" else f"_x{ord(each):04X}_" for each in name)
    return safe if safe[0].isalpha() else f"_x{ord(safe[0]):04X}_{safe[1:]}"


def _remark(place: Place) -> str:
    """No two dashes may stand in it (XML 1.0, 2.5)."""
    text = " ".join(comment(place, "").split())
    while "--" in text:
        text = text.replace("--", "- -")
    return escape(text)
