"""Which lock file is of which package, and by which rule a document that was fetched is read for more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.prefetch import cargo_lock, go_sum, images, listings, package_lock, requirements
from app.prefetch.wanted import Reader, Step

# kind -> the package of its repositories, and how it is read
LOCKS: Mapping[str, tuple[str, Reader]] = MappingProxyType(
    {
        "requirements.txt": ("pypi", requirements.read),
        "package-lock.json": ("npm", package_lock.read),
        "Cargo.lock": ("cargo", cargo_lock.read),
        "go.sum": ("go", go_sum.read),
        "images": ("docker", images.read),
    }
)
STEPS: Mapping[str, Step] = MappingProxyType(
    {requirements.STEP: requirements.files, images.STEP: images.named, listings.STEP: listings.names}
)
