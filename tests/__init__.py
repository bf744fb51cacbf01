import pytest

pytest.register_assert_rewrite("tests.dialects")  # its asserts are those of the tests that inherit them
