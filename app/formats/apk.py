"""What is odd about Alpine repositories: one signed index a directory, packages named by version.

Source: apk-tools 2 (APKINDEX.tar.gz) and 3 (Packages.adb); both carry their signature inside.
"""

from __future__ import annotations

from app.formats.base import PathRules, rule

APK = PathRules(
    "apk",
    (
        rule(r"(?:.*/)?(?:APKINDEX\.tar\.gz|[Pp]ackages\.adb)", "an index", own=True, remember_missing=False),
        rule(
            r"(?:.*/)?(?:[^/]+\.rsa\.pub|latest-releases\.yaml|last-updated|MIRRORS\.txt)",
            "a key or a note on the archive",
            own=True,
        ),
        rule(r".*\.apk", "a package", immutable=True),
    ),
)
