"""`reynard keys` and `reynard ledger`: credits, given and checked while a gateway runs."""

import json
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest
from tests.e2e.test_command_line import reynard
from tests.integration.test_answers import submit
from tests.processes import Gateway, text_request

COMMANDS = [["keys", "credit"], ["ledger"], ["ledger", "verify"], ["ledger", "list"]]


def told(gateway: Gateway, *words: str) -> Any:
    return json.loads(gateway.command(*words, "--json").stdout)


def failing(gateway: Gateway, *words: str) -> tuple[int, str]:
    result = reynard(*words, "--data", str(gateway.folder / "data"))
    assert "Traceback" not in result.stderr
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    result = reynard(*words, "--help")
    assert (result.returncode, "Example:\n    reynard " in result.stdout) == (0, True)


def test_a_key_is_made_with_credits_and_limits_and_both_are_changed(gateway: Gateway) -> None:
    made = told(gateway, "keys", "create", "--credits", "2.5", "--rpm", "60", "--tpm", "none", "--concurrency", "3")
    assert (made["limited"], made["balance"], made["rpm"], made["tpm"], made["concurrency"]) == (True, 2.5, 60, None, 3)
    gateway.command("keys", "update", made["id"], "--unlimited", "--rpm", "none", "--tpm", "1000")
    shown = told(gateway, "keys", "show", made["id"])
    assert (shown["limited"], shown["rpm"], shown["tpm"], shown["concurrency"]) == (False, None, 1000, 3)
    assert "digest" not in shown
    gateway.command("keys", "update", made["id"], "--limited", "--name", "ci")
    shown = told(gateway, "keys", "show", made["id"])
    assert (shown["limited"], shown["name"], shown["tpm"]) == (True, "ci", 1000)
    assert told(gateway, "keys", "create")["limited"] is False
    assert told(gateway, "keys", "create", "--credits", "0")["limited"] is True


def test_credits_are_given_and_taken_back_exactly(gateway: Gateway) -> None:
    key_id = told(gateway, "keys", "create", "--credits", "0.1")["id"]
    assert (
        gateway.command("keys", "credit", key_id, "0.2", "--note", "invoice 7").stdout == f"{key_id} has 0.3 credits\n"
    )
    assert told(gateway, "keys", "credit", key_id, "-0.000001") == {
        "id": key_id,
        "balance": 0.299999,
        "reserved": 0,
        "used": 0,
    }
    entries = told(gateway, "ledger", "list", key_id)
    assert [(entry["kind"], entry["amount"], entry["note"]) for entry in entries] == [
        ("grant", -0.000001, ""),
        ("grant", 0.2, "invoice 7"),
        ("grant", 0.1, "at its creation"),
    ]
    assert "invoice 7" in gateway.command("ledger", "list", key_id, "--limit", "2").stdout
    listed = gateway.command("keys", "list").stdout.splitlines()
    assert listed[0].split() == ["ID", "KEY", "NAME", "STATE", "CREDITS", "RESERVED", "USED", "MODELS"]
    assert any(line.startswith(key_id) and " 0.299999 " in line for line in listed)


def test_a_credit_without_a_limit_says_so(gateway: Gateway) -> None:
    key_id = told(gateway, "keys", "create")["id"]
    result: subprocess.CompletedProcess[str] = gateway.command("keys", "credit", key_id, "5")
    assert "--limited" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["keys", "credit", "key-none", "1"], 1, "there is no key key-none"),
        (["keys", "credit", "key-none", "1e3"], 2, "is no amount"),
        (["keys", "credit", "key-none", "0.0000001"], 2, "at most six decimals"),
        (["keys", "credit", "key-none", "1000000000"], 2, "below a thousand million"),
        (["keys", "create", "--credits", "-1"], 2, "cannot owe"),
        (["keys", "create", "--rpm", "-1"], 2, "is no limit"),
        (["keys", "create", "--rpm", "1.5"], 2, "is no limit"),
        (["ledger", "list", "key-none"], 1, "there is no key key-none"),
    ],
)
def test_errors_are_a_sentence_and_an_exit_code(gateway: Gateway, words: list[str], code: int, says: str) -> None:
    found, text = failing(gateway, *words)
    assert (found, says in text) == (code, True), text


def test_a_balance_that_does_not_suffice_refuses_until_it_does(gateway: Gateway) -> None:
    made = told(gateway, "keys", "create", "--credits", "0")
    with gateway.client(made["key"]) as client:
        refused = submit(client, text_request(sync=True, max_tokens=100))
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_quota")
        gateway.command("keys", "credit", made["id"], "1")
        assert submit(client, text_request(sync=True, max_tokens=100)).status_code == 200
    shown = told(gateway, "keys", "show", made["id"])
    assert shown["used"] > 0
    assert round(shown["balance"] + shown["used"], 6) == 1


def test_verify_tells_what_is_wrong_and_fails(gateway: Gateway) -> None:
    key_id = told(gateway, "keys", "create", "--credits", "1")["id"]
    assert told(gateway, "ledger", "verify") == {"good": True, "faults": []}
    assert gateway.command("ledger", "verify").stdout == "the ledger is correct\n"

    def tamper(change: str) -> None:
        with closing(sqlite3.connect(gateway.folder / "data" / "reynard.db")) as connection:
            connection.execute(f"UPDATE accounts SET balance = balance {change} 1 WHERE key_id = ?", (key_id,))
            connection.commit()

    tamper("+")
    code, text = failing(gateway, "ledger", "verify")
    assert (code, text) == (1, f"{key_id}: the account has balance 1.000001, and its entries come to 1\n")
    code, text = failing(gateway, "ledger", "verify", "--json")
    assert code == 1
    assert [fault["key_id"] for fault in json.loads(text)["faults"]] == [key_id]
    tamper("-")
