"""Several resources brought up to date side by side, for who needs all of them: the sources of a made document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.assembly import Assembly
from app.errors import ArtifactError, NotFound, StoreDown, UpstreamDenied, UpstreamTimeout, UpstreamUnreachable
from app.fetch import name_of
from app.fills.fill import Fill, Flights, Stage
from app.freshness import outdated
from app.resource import Entry, Found, Kind, Resource
from app.shelf import Shelf
from app.stores.catalog import Known

PATIENCE = 5.0  # seconds that a document waits for what it is made of, where there is an old copy of that


class Sources:
    """One per process, for many threads; `visit` is Visits.run."""

    def __init__(self, shelf: Shelf, flights: Flights, visit: Callable[[Fill, Resource, Known], None]) -> None:
        self.shelf = shelf
        self.assembly = Assembly(shelf)
        self.flights = flights
        self.visit = visit

    def current(self, resources: Sequence[Resource]) -> list[Found]:
        """Each as it is now, or as it was where upstream does not answer in time; visited side by side.

        Raises StoreDown where it cannot be told what a local one is."""
        begun = [(resource, *self._begun(resource)) for resource in resources]
        return [self._ended(*each) for each in begun]

    def whole(self, document: Resource) -> Entry | None:
        """A made document as it is now, however long that takes. Raises as its visit does."""
        if (served := self.assembly.ready(document)) is not None:
            served.file.close()
            return served.entry
        known = self.shelf.find(document)
        name = name_of(document, known.epoch)
        fill, _ = self.flights.board(name, lambda fill: self.visit(fill, document, known))
        fill.wait_for(Stage.SETTLED)
        if fill.error is not None:
            raise fill.error
        return fill.entry

    def _begun(self, resource: Resource) -> tuple[Known, Fill | ArtifactError | None]:
        """What is known of it; and the visit that finds out more, what speaks against one, or None for no need."""
        local = resource.repository.kind is Kind.LOCAL
        try:
            known = self.shelf.find(resource)
            made = bool(resource.sources)
            served = self.assembly.ready(resource) if made else self.shelf.stored(resource, known)
            if served is not None:
                served.file.close()
                return known, None
            if known.entry is not None and not self._usable(known.entry):
                known = replace(known, entry=None)
        except NotFound as error:
            return Known(0, None), error
        except StoreDown:
            if local:
                raise
            known = Known(0, None, recorded=False)
        if local:
            raise StoreDown("the bytes of a hosted file are missing or damaged")
        name = name_of(resource, known.epoch)
        return known, self.flights.board(name, lambda fill: self.visit(fill, resource, known))[0]

    def _usable(self, entry: Entry) -> bool:
        return not outdated(entry, self.shelf.clock()) and self.shelf.has(entry)

    def _ended(self, resource: Resource, known: Known, fill: Fill | ArtifactError | None) -> Found:
        old = Found(resource, known.entry, epoch=known.epoch)
        if not isinstance(fill, Fill):
            return replace(old, error=fill)
        if not fill.wait_for(Stage.SETTLED, PATIENCE if known.entry else None):
            return replace(old, error=UpstreamTimeout("its upstream has not answered yet"))
        if fill.error is not None:
            gone = isinstance(fill.error, NotFound | UpstreamDenied)  # a failure beside that takes no copy away
            return replace(old, entry=None if gone else known.entry, error=fill.error)
        if fill.entry is None:
            return replace(old, error=StoreDown("what came cannot be recorded", retry_after=1))
        late = UpstreamUnreachable("its upstream did not answer") if fill.state == "STALE" else None
        return replace(old, entry=fill.entry, error=late)
