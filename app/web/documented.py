"""Blueprints whose routes stand in /openapi.json: how arguments are read and refused, and what may be answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import flask
import flask_smorest
from flask import Flask, Request, Response
from marshmallow import RAISE, Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
from werkzeug.routing import BaseConverter

from app import __version__
from app.errors import BadRequest, Invalid, UnsupportedMedia

View = TypeVar("View", bound=Callable[..., Any])
BODY = 64 * 1024  # bytes of a JSON body
JSON = "application/json"
EITHER: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a token"},
    "basic": {"type": "http", "scheme": "basic", "description": "a token as the password, with any user name"},
}
PROJECT = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


class Problem(Schema):
    """Every error; `fields` of a 422: the reasons by the name of what is wrong."""

    error = fields.String(required=True, metadata={"description": "a stable code in snake_case"})
    message = fields.String(required=True, metadata={"description": "for people"})
    request_id = fields.String(required=True)
    fields_ = fields.Dict(
        data_key="fields",
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "by name"},
    )
    detail = fields.String(metadata={"description": "only with DEBUG"})


class Parser(FlaskParser):
    """Of webargs, with this project's limits and errors."""

    most = BODY
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012 - webargs' own way
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": RAISE,
    }

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body. Only under its own type: a page of another site can send a form, and with a browser's Basic
        credentials, but nothing of this type."""
        if req.mimetype != JSON:
            raise UnsupportedMedia(f"the body is to be JSON, and the request to say Content-Type: {JSON}")
        req.max_content_length = self.most
        return parsed(req.get_data())

    def handle_error(
        self, error: ValidationError, req: Request, schema: Schema, *, error_status_code: Any, error_headers: Any
    ) -> NoReturn:
        messages: Any = error.messages
        raise invalid(next(iter(messages.values())))


def parsed(body: bytes) -> Any:
    """The JSON of a request's body; BadRequest "bad_body" where it is none, or holds half a character."""
    try:
        found = json.loads(body, parse_constant=_refused)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON", code="bad_body") from None
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def invalid(messages: Any) -> Invalid:
    """Marshmallow's messages as an error."""
    found: dict[str, list[str]] = {}
    for name, each in _reasons(messages):
        found.setdefault(name, []).extend(each)
    return Invalid(f"what is asked for is not valid: {', '.join(sorted(found)[:5])}", found)


def _reasons(messages: Any, where: str = "") -> Iterator[tuple[str, list[str]]]:
    """(name, reasons) of every leaf of marshmallow's tree, such as ("claims.sub", [...])."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            step = "" if name in ("_schema", "key", "value") else str(name)[:100]
            yield from _reasons(inner, ".".join(filter(None, (where, step))))
    else:
        yield where or "body", list(messages)


if TYPE_CHECKING:  # the library has no types

    class _Blueprint(flask.Blueprint):
        def __init__(self, name: str, module: str, description: str = "", **options: Any) -> None: ...
        def arguments(self, schema: Any, *, location: str = "json") -> Callable[[View], View]: ...
        def response(self, status: int, schema: Any = None, **more: Any) -> Callable[[View], View]: ...
        def alt_response(self, status: int, **more: Any) -> Callable[[View], View]: ...
        def doc(self, **more: Any) -> Callable[[View], View]: ...
        def get(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def put(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def post(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def patch(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def delete(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def register_views_in_doc(self, *to: Any, **more: Any) -> None: ...
else:
    _Blueprint = flask_smorest.Blueprint


class Blueprint(_Blueprint):
    """A Flask blueprint that says what its routes take and answer."""

    ARGUMENTS_PARSER = Parser()

    def register_views_in_doc(self, api: Api, *to: Any, **more: Any) -> None:
        """Only when somebody asks for the document: that is most of what an application takes to be made."""
        api.later.append(partial(super().register_views_in_doc, api, *to, **more))

    @staticmethod
    def asks(check: Callable[..., object], *names: str, open: bool = False) -> Callable[[View], View]:
        """Outermost of a view: `check`, given the parts of the path of these names, decides who may, before anything
        that they sent is read. `open` where nobody needs credentials."""

        def decorated(view: View) -> View:
            @wraps(view)
            def asked(*args: Any, **options: Any) -> Any:
                flask.after_this_request(_unkept)
                check(*(options[name] for name in names))
                return view(*args, **options)

            _notes(asked).setdefault("manual_doc", {})["security"] = [] if open else EITHER
            return cast(View, asked)

        return decorated

    @staticmethod
    def takes(schema: type[Schema] | Schema, location: str = "query") -> Callable[[View], View]:
        """Say what a view reads by itself."""

        def decorated(view: View) -> View:
            arguments = _notes(view).setdefault("arguments", {})
            arguments.setdefault("parameters", []).append({"in": location, "required": True, "schema": schema})
            return view

        return decorated


def _unkept(response: Response) -> Response:
    """What one is told of accounts is for them, and for now."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _notes(view: Any) -> dict[str, Any]:
    """A copy, for this view alone, of what the decorators below it noted for the document."""
    view._apidoc = deepcopy(getattr(view, "_apidoc", {}))
    found: dict[str, Any] = view._apidoc
    return found


class Named(BaseConverter):
    """A project's name in a path: what cannot be one is a 404 before anybody is asked for it."""

    regex = PROJECT


class Called(BaseConverter):
    """A repository's."""

    regex = REPOSITORY


class Api(flask_smorest.Api):  # type: ignore[misc]
    """The document; errors are failures.py's."""

    ERROR_SCHEMA = Problem
    _written = b""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.later: list[Callable[[], None]] = []  # what has to be written into it yet

    def _register_error_handlers(self) -> None:
        """There is one handler, and it is not this one."""

    def _openapi_json(self) -> Response:
        while self.later:
            self.later.pop(0)()
        self._written = self._written or json.dumps(self.spec.to_dict()).encode()
        return Response(self._written, content_type=JSON)


def document(app: Flask) -> Api:
    """An empty document of `app`, served at /openapi.json; blueprints are registered with it."""
    app.config["OPENAPI_URL_PREFIX"] = "/"
    app.url_map.converters |= {"project": Named, "repository": Called}
    api = Api(spec_kwargs={"title": "artifactapi", "version": __version__, "openapi_version": "3.0.3"})
    api.init_app(app)
    for converter, pattern in ((Named, PROJECT), (Called, REPOSITORY)):
        api.register_converter(converter, _described(pattern))
    for name, scheme in SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    return api


def _described(pattern: str) -> Callable[[BaseConverter], dict[str, str]]:
    return lambda _: {"type": "string", "pattern": f"^{pattern}$"}
