"""How plain files are hosted: each at the path to which it was sent; a form may also be sent to a directory."""

from __future__ import annotations

from dataclasses import replace

from app.errors import BadRequest
from app.hosting.base import Accepted, Contents, Host, Post


class Generic(Host):
    """PUT and POST of a raw body or a form's `file`, DELETE."""

    __slots__ = ()
    methods = ("PUT", "POST", "DELETE")

    def accept(self, post: Post, contents: Contents) -> Accepted:
        if post.method == "POST":
            path = post.path if post.path and not post.path.endswith("/") else f"{post.path}{_name(post)}"
            post = replace(post, method="PUT", path=path)
        return Host.accept(self, post, contents)


HOST = Generic()


def _name(post: Post) -> str:
    """What the client calls the file, which is no path."""
    name = post.file.filename
    if not name or "/" in name:
        raise BadRequest("the form's file needs a name, and no path", code="bad_path")
    return name
