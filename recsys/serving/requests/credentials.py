"""What a request says of who sends it: its token, its address, its browser's opt-out."""

from starlette.types import Scope

LISTENER, ALLOWANCE = "listener", "allowance"  # in the state of a request: str or RecsysError, and Allowance or None


def bearer_of(scope: Scope) -> str | None:
    """Return the token of a request; None where there is none, or more than one header that could hold it."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    kind, _, token = (found[0] if len(found) == 1 else b"").decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def opts_out(scope: Scope) -> bool:
    """Tell whether a request carries ``Sec-GPC: 1``."""
    return any(name == b"sec-gpc" and value.strip() == b"1" for name, value in scope["headers"])


def address_of(scope: Scope, *, proxies: tuple[str, ...]) -> str:
    """Return where a request comes from: of what our own proxies say, the last address that is not one of them."""
    client = scope.get("client")
    address = client[0] if client else ""
    if address not in proxies:
        return address
    said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    others = [each for each in map(str.strip, said.split(",")) if each and each not in proxies]
    return others[-1] if others else address
