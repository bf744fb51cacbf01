"""Which route a path has."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from reynard.http.answers import Responder
from reynard.http.request import Request

Endpoint = Callable[[Request], Awaitable[Responder]]

PARAMETER: Final = re.compile(r"\{(\w+)(:path)?\}")


class Route:
    """A path, or a template of paths: `{name}` stands for what is between two slashes, `{name:path}` for all the rest.

    Whatever takes GET takes HEAD too.
    """

    def __init__(self, path: str, endpoint: Endpoint, methods: Collection[str]) -> None:
        self.path = path
        self.endpoint = endpoint
        self.methods = frozenset(methods) | ({"HEAD"} if "GET" in methods else frozenset())
        self.start = path.partition("{")[0]
        self.is_template = self.start != path
        self._pattern = re.compile(PARAMETER.sub(_group, path))

    def match(self, path: str) -> dict[str, str] | None:
        """What the parameters stand for in `path`, if it is one of these."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()


class Routes:
    """Finds the first that fits; most of what is asked for is no template, and is looked up."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact = {route.path: route for route in routes if not route.is_template}
        self._templates = [route for route in routes if route.is_template]

    def find(self, request: Request) -> Route | None:
        """The route of a request, which learns its template and parameters."""
        path = request.path
        route = self._exact.get(path)
        if route is not None:
            request.route = route.path
            return route
        for route in self._templates:
            if path.startswith(route.start) and (found := route.match(path)) is not None:
                request.route, request.path_params = route.path, found
                return route
        return None


def _group(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{'.*' if found[2] else '[^/]+'})"
