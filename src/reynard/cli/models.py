"""`reynard models`."""

import click
import msgspec

from reynard.cli import settings as shared


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(as_json: bool) -> None:
    """The models that your key may use (asks the gateway at REYNARD_URL).

    \b
    Example:
      reynard models
    """
    from reynard.client import Client

    async def fetch() -> list[dict[str, object]]:
        answer = await Client(*shared.gateway_address()).get("/v1/configs/llm_generations_models")
        found: list[dict[str, object]] = answer["data"]
        return found

    found = shared.run(fetch())
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    if not found:
        click.echo(
            "no model can be used: set a provider's key (for one, OPENAI_API_KEY), or run `reynard serve --demo`"
        )
        return
    shared.table(["MODEL", "TAKES"], [[str(model["id"]), ", ".join(model["capabilities"])] for model in found])  # type: ignore[arg-type]
