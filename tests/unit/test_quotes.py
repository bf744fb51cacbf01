"""What of a provider's own words may be repeated to a caller."""

import string
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reynard.providers.quotes import hidden, quoted

HIDDEN = [
    "projects/acme-prod/locations/us-central1/publishers/google/models/x",
    "projects/123456789012",
    "organizations/42",
    "billingAccounts/012345-ABCDEF-678901",
    "serviceAccounts/gateway",
    "accounts/acme/deployments/d1",
    "/subscriptions/acme/resourceGroups/prod",
    "arn:aws:bedrock:us-east-1:123456789012:model/x",
    "service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com",
    "user@corp.com",
    "first.last+tag@mail.corp",
    "gs://corp-bucket/x",
    "s3://corp-bucket/x",
    "redis://:pass@cache/0",
    "postgresql://acme",
    "https://internal.example.org/v1/chat?key=abcdef",
    "2001:db8::1",
    "2001:db8:0:1:2:3:4:5",
    "fe80::1",
    "fe80::1%eth0",
    "::1",
    "2001:db8::/32",
    "::ffff:10.0.0.1",
    "[::1]:80",
    "[2001:db8::1]",
    "10.0.0.7",
    "10.0.0.7:8000",
    "org-AbCdEfGhIjKlMnOpQrStUvWx",
    "org-AbCdEf",
    "org_01JwQvzr7rXL",
    "proj_AbCdEf123",
    "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ",
    "acct_1032D82eZvKYlo2C",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghij1234",
    "github_pat_11ABCDEFG0abcdefgh",
    "glpat-abcdefghij",
    "xoxb-1234567890-abc",
    "ya29.a0AfH6SMBx",
    "Basic dXNlcjpwYXNz",
    "Basic dXNlcjpwYXNzd29yZA==",
    "Bearer abcdef",
    "sk-ant-abcdefgh",
    "sk-abcd***************wxyz",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "3f2504e04f8911d3",
    "3f2504e04f8911d39a0c0305e82c3301",
    "0123456789abcdef",
    "deadbeefdeadbee1",
    "8c1f4a52-1b9c-4a2b-9f7e-aaaaaaaaaaaa",
    "host.example.com",
    "example.com",
    "api.acme.io",
    "bucket.internal",
    "vllm-0.vllm.prod.svc.cluster.local",
    "ip-10-0-0-7.ec2.acme",
    "db-01.prod.acme",
    "api.payments.acme",
    "gpu-box:8000",
    "ollama:11434",
    "localhost",
    "localhost:8000",
]
AROUND = ["{}", "Key {} is wrong.", "({})", '"{}"', "`{}`", "a={}, b", "at {}; then", "{}\n{}", "see {}."]


@pytest.mark.parametrize("secret", HIDDEN)
@pytest.mark.parametrize("around", AROUND)
def test_an_identifier_is_not_quoted(secret: str, around: str) -> None:
    said = quoted(around.replace("{}", secret))
    assert "…" in said
    for part in secret.replace("/", " ").replace("@", " ").split():
        if len(part) > 5 and part != "Bearer":
            assert part not in said


IN_CONTEXT = [
    ("api_key: 'aB3dEfGh1JkLmN' is wrong", "aB3dEfGh1JkLmN"),
    ("secret=wJalrXUtnFEMI/K7MDENG/bPxRfi is wrong", "wJalr"),
    ("token abcdefghijkl7 expired", "abcdefghijkl7"),
    ("Project `123456789012` is not allowed", "123456789012"),
    ("Project my-secret-project-123 cannot", "my-secret"),
    ("Billing account for project 1 disabled", "1"),
    ("organization: acme7 must be verified", "acme7"),
    ("tenant id 'acme-7'", "acme"),
]


@pytest.mark.parametrize(("text", "hidden"), IN_CONTEXT)
def test_what_stands_beside_a_telling_word_is_not_quoted(text: str, hidden: str) -> None:
    assert hidden not in quoted(text)


PLAIN = [
    "messages.0.content",
    "messages.0.content.0.image.source.url",
    "messages.1.content.2.tool_use.id: Field required",
    "messages[0].content[1].image_url.url",
    "body.messages.0.user.name: Extra inputs are not permitted",
    "tools[0].function.name",
    "tools.0.function.parameters.properties.com_name",
    "tools.0.custom.input_schema",
    "response_format.json_schema.schema",
    "generation_config.response_schema.properties[a].type",
    "output_config.format.schema",
    "gpt-5.5",
    "gpt-5.4-mini-2026-03-05",
    "claude-opus-4-7",
    "kimi-k2.6",
    "gemini-3.1-pro-preview",
    "models/gemini-2.5-pro is not found",
    "accounts/fireworks/models/llama-v3p1-8b-instruct",
    "nvidia/nemotron-3-nano-omni-30b",
    "meta-llama/Llama-3.3-70B-Instruct",
    "max_tokens",
    "max_tokens:4096",
    "1.2.3",
    "v1.2.3",
    "2024-10-21",
    "at 12:30:45",
    "2026-12-01 at 00:00 UTC",
    "std::string",
    "a::b is no type of ours",
    "prompt is too long: 208310 tokens > 200000 maximum",
    "9223372036854775807 is above the maximum",
    "key-value pairs",
    "Unrecognized key: response_format",
    "unknown key 'prompt_cache_retention'",
    "Unexpected token: identifier",
    "Basic authentication is not supported",
    "org-wide limits and org_id, proj_name, org-specific",
    "the project has no access; this organization must be verified",
    "user_message, user-provided, team_id, sub-object",
    "Expected max_tokens <= 4096 (task-id 7), got risk-averse 'tokens'",
    "defaced, feedbeef and effaced",
    "a call_id, an item_reference and req_011CSHoEeqs5C35K2UUqR7Fy",
    "e.g. base64, i.e. text",
    "The end.But this goes on.",
    "image.png, notes.md, main.py and data.json",
    "temperature: 0.7, top_p: 0.95",
]


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize("around", ["{}", "Invalid value for '{}'.", "({})", "`{}`: no", "x: {}"])
def test_plain_words_are_quoted_as_they_are(text: str, around: str) -> None:
    said = around.replace("{}", text)
    assert quoted(said) == said


def test_what_is_cut_is_cut_between_words() -> None:
    said = quoted("https://" + "x" * 1970 + " and ghp_abcdefghijklmnopqrstuvwxyz")
    assert "ghp" not in said
    assert quoted("x" * 100_000) in ("x" * 500 + "…", "x" * 2000)


def seconds(text: str) -> float:
    begun = time.process_time()
    hidden(text)
    return time.process_time() - begun


PUMPED = [
    *(
        "a",
        "a.",
        "a-",
        "a:",
        "1",
        "1.",
        "1a",
        "f",
        "0f",
        ":",
        "::",
        "a:b:",
        "a@",
        "@",
        "a.b@",
        "http:",
        "a+",
        "a1-",
        "x-1.",
    ),
    *(
        "projects/",
        "key ",
        "key-",
        "key: ",
        "org-",
        "org_A",
        "basic A",
        "Basic aB",
        "[",
        "[:",
        "A",
        "AKIA",
        "-",
        "--",
        ".",
    ),
    *(
        "..",
        "%",
        "=",
        "token=",
        " ",
        "'",
        "project ",
        "project: a",
        "api.",
        "api.a.",
        "com.",
        "a.com.",
        "\u0130",
        "ſk-",
        "é.",
    ),
]


@pytest.mark.parametrize("pump", PUMPED)
@pytest.mark.parametrize("end", ["", "!", "\n", ":", "com"])
def test_reading_takes_time_in_proportion(pump: str, end: str) -> None:
    assert seconds((pump * 50_000)[:50_000] + end) < 1


@settings(deadline=None, max_examples=60)
@given(
    st.text(st.sampled_from(string.ascii_letters[:8] + "AK19.:-_/@[]%+='` " + string.digits), min_size=1, max_size=40)
)
@example("a-1.")
def test_reading_anything_of_ten_kilobytes_takes_a_moment(pump: str) -> None:
    assert seconds((pump * 10_000)[:10_000]) < 1


@given(st.text(max_size=3000))
def test_a_quote_is_bounded(text: str) -> None:
    assert len(quoted(text)) <= 501
