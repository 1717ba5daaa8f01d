"""The formats by the name that `package` gives them in remotes.json."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.formats.apk import APK
from app.formats.cargo import CARGO
from app.formats.conda import CONDA
from app.formats.deb import DEB
from app.formats.docker import DOCKER
from app.formats.generic import GENERIC
from app.formats.go import GO
from app.formats.helm import HELM
from app.formats.maven import MAVEN
from app.formats.npm import NPM
from app.formats.nuget import NUGET
from app.formats.puppet import PUPPET
from app.formats.pypi import PYPI
from app.formats.rpm import RPM
from app.formats.rubygems import RUBYGEMS
from app.formats.terraform import TERRAFORM
from app.resource import Format

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        each.name: each
        for each in (
            GENERIC,
            RPM,
            APK,
            DEB,
            DOCKER,
            MAVEN,
            PYPI,
            NPM,
            HELM,
            GO,
            CARGO,
            CONDA,
            RUBYGEMS,
            NUGET,
            TERRAFORM,
            PUPPET,
        )
    }
)
