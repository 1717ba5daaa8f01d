"""What is odd about dnf and zypper repositories: repodata/repomd.xml names everything beside it by checksum.

Source: createrepo_c's layout; zypper's media.1 and the installer's .treeinfo stand beside repodata.
"""

from __future__ import annotations

from app.formats.base import PathRules, rule

# createrepo_c puts the checksum of the file as stored (compressed) before its name: <hex>-primary.xml.zst
_CHECKSUM = r"(?P<digest>[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})"

RPM = PathRules(
    "rpm",
    (
        rule(r"(?:.*/)?repodata/repomd\.xml(?:\.asc|\.key)?", own=True, remember_missing=False),
        rule(rf"(?:.*/)?repodata/{_CHECKSUM}-[^/]+", immutable=True, own=True),
        rule(r"(?:.*/)?repodata/[^/]+", own=True),
        rule(r"(?:.*/)?(?:RPM-GPG-KEY[^/]*|[^/]+\.repo|media\.1/[^/]+|\.?treeinfo|extra_files\.json)", own=True),
        rule(r".*\.d?rpm", immutable=True),
    ),
)
