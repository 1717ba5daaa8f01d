"""The contract of accounts: users, tokens, projects, members, trust, definitions, the trail; and of their copies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import redis

from app.accounts import secrets
from app.accounts.people import People
from app.accounts.rights import Role
from app.errors import StoreDown
from app.stores.accounts import AlreadyTaken, Defined, Event, Token, Trust, UnknownProject
from app.stores.postgres import PostgresIndex
from app.stores.postgres_accounts import PostgresAccounts
from app.stores.publications import Description, Publication
from app.stores.redis_accounts import COUNT, RedisAccounts
from app.supervisor.embedded import Valkey
from tests.stores.values import at_once, entry

Make = Callable[[], People]


def unnoted(fence: int) -> None:
    raise StoreDown("no journal")


@pytest.fixture
def make(database_url: str, redis_url: str) -> Iterator[Make]:
    """Another process's view of the same accounts."""
    made: list[People] = []

    def another() -> People:
        memory = RedisAccounts(redis_url)
        made.append(People(PostgresAccounts(database_url, memory.outdate, connections=4), memory))
        return made[-1]

    yield another
    for each in made:
        each.close()


@pytest.fixture
def people(make: Make) -> People:
    return make()


def token(people: People, user: int, **about: object) -> tuple[Token, str]:
    return people.make_token(user, "laptop", **about)  # type: ignore[arg-type]


class TestUsers:
    def test_are_added_found_and_listed_in_order(self, people: People) -> None:
        store = people.store
        anna = store.add_user("Anna@Example.ORG", "Anna", "hash", admin=True)
        bert = store.add_user("bert@example.org", "Bert 100%", "")
        assert anna.email == "anna@example.org"
        assert (anna.admin, anna.disabled, anna.password) == (True, False, "hash")
        assert store.user(anna.id) == store.user_by_email("ANNA@example.org") == anna
        assert store.user(99) is None
        assert store.user_by_email("carl@example.org") is None
        assert list(store.users()) == [anna, bert]
        assert list(store.users(after=anna.id)) == [bert]
        assert list(store.users(limit=1)) == [anna]
        assert list(store.users(search="BERT")) == list(store.users(search="0%")) == [bert]
        assert list(store.users(search="_")) == []

    def test_one_address_is_one_user(self, make: Make) -> None:
        added: list[int] = []

        def add(people: People, email: str) -> None:
            with contextlib.suppress(AlreadyTaken):
                added.append(people.store.add_user(email, "", "").id)

        at_once([partial(add, make(), email) for email in ("a@example.org", "A@example.org") * 3])
        assert len(added) == 1

    def test_are_changed_and_nothing_else_is(self, people: People) -> None:
        user = people.store.add_user("a@example.org", "", "old")
        changed = people.store.change_user(user.id, full_name="Anna", password="new", admin=True)
        assert changed == replace(user, full_name="Anna", password="new", admin=True)
        assert people.store.change_user(user.id) == changed
        assert people.store.change_user(99, full_name="x") is None
        with pytest.raises(ValueError, match="email"):
            people.store.change_user(user.id, email="b@example.org")

    def test_a_dropped_user_takes_tokens_and_memberships_along(self, people: People) -> None:
        user = people.store.add_user("a@example.org", "", "")
        people.store.add_project("team", "", user.id)
        _, secret = token(people, user.id)
        assert people.principal_of(secret) is not None
        assert people.store.drop_user(user.id)
        assert not people.store.drop_user(user.id)
        assert people.principal_of(secret) is None
        assert list(people.store.members("team")) == []


class TestTokens:
    def test_says_whose_it_is_and_what_it_may(self, people: People) -> None:
        user = people.store.add_user("a@example.org", "", "", admin=True)
        people.store.add_project("team", "", user.id)
        made, secret = token(people, user.id, scopes=["read", "write:team-rpm"])
        assert secrets.TOKEN.fullmatch(secret)
        for _ in ("from Postgres", "from Redis"):
            found = people.principal_of(secret)
            assert found is not None
            assert (found.name, found.user, found.admin, found.token) == ("a@example.org", user.id, True, made.id)
            assert found.scopes == {"read", "write:team-rpm"}
            assert found.projects == {"team": Role.OWNER}
            assert not found.administers

    def test_is_stored_as_a_hash_alone(self, people: People, redis_url: str, database_url: str) -> None:
        import psycopg

        user = people.store.add_user("a@example.org", "", "")
        _, secret = token(people, user.id)
        people.principal_of(secret)
        with redis.Redis.from_url(redis_url) as client:
            kept = [key + (client.get(key) or b"") for key in client.scan_iter("artifactapi:accounts:*")]
        assert len(kept) == 2
        assert not any(secret.encode() in each for each in kept)
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT tokens::text FROM tokens").fetchone()
        assert row is not None
        assert secret not in row[0]
        assert secrets.digest_of(secret) in row[0]

    @pytest.mark.parametrize(
        "wrong", ["", "aapi_", "aapi_" + "x" * 43, "aapi_" + "x" * 44, "é" * 48, "\0", "x" * 10_000]
    )
    def test_a_strange_one_is_nobodys(self, people: People, wrong: str) -> None:
        assert people.principal_of(wrong) is None
        assert people.principal_of(wrong) is None

    def test_an_expired_one_is_nobodys_from_that_second_on(self, database_url: str, redis_url: str) -> None:
        now = [time.time()]
        memory = RedisAccounts(redis_url)
        people = People(PostgresAccounts(database_url, memory.outdate), memory, lambda: now[0])
        user = people.store.add_user("a@example.org", "", "")
        made, secret = token(people, user.id, lifetime=60)
        assert made.expires == now[0] + 60
        assert people.principal_of(secret) is not None
        now[0] += 60
        assert people.principal_of(secret) is None
        people.close()

    def test_a_revoked_one_is_nobodys_at_once_in_every_process(self, make: Make) -> None:
        processes = [make() for _ in range(3)]
        user = processes[0].store.add_user("a@example.org", "", "")
        made, secret = token(processes[0], user.id)
        assert all(each.principal_of(secret) for each in processes)
        assert not processes[1].revoke(made.id, user=user.id + 1)
        assert all(each.principal_of(secret) for each in processes)
        assert processes[1].revoke(made.id, user=user.id)
        assert not any(each.principal_of(secret) for each in processes)
        assert not processes[1].revoke(made.id)
        assert list(processes[0].store.tokens()) == []

    def test_what_was_read_before_a_revocation_is_not_remembered_after_it(
        self, people: People, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = people.store.add_user("a@example.org", "", "")
        made, secret = token(people, user.id)
        other, reading = make(), PostgresAccounts.token

        def slowly(self: PostgresAccounts, digest: str) -> object:
            found = reading(self, digest)
            other.revoke(made.id)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(PostgresAccounts, "token", slowly)
            people.principal_of(secret)  # it was asked before
        assert people.principal_of(secret) is None

    def test_disabling_ends_every_token_and_a_new_password_the_logins(self, people: People) -> None:
        user = people.register("a@example.org", "correct horse battery")
        given = people.login("a@example.org", "correct horse battery")
        assert given is not None
        _, made = token(people, user.id)
        people.store.change_user(user.id, password=secrets.hashed("another password"))
        assert people.principal_of(given[1]) is None
        assert people.principal_of(made) is not None
        people.store.change_user(user.id, disabled=True)
        assert people.principal_of(made) is None
        people.store.change_user(user.id, disabled=False)
        assert people.principal_of(made) is None

    def test_a_changed_role_counts_at_once(self, make: Make) -> None:
        one, other = make(), make()
        user = one.store.add_user("a@example.org", "", "")
        one.store.add_project("team", "", 0)
        _, secret = token(one, user.id)

        def roles() -> object:
            found = other.principal_of(secret)
            return found and dict(found.projects)

        assert roles() == {}
        assert one.store.put_member("team", user.id, Role.READER)
        assert roles() == {"team": Role.READER}
        assert one.store.put_member("team", user.id, Role.WRITER)
        assert roles() == {"team": Role.WRITER}
        assert one.store.drop_member("team", user.id)
        assert not one.store.drop_member("team", user.id)
        assert roles() == {}
        assert not one.store.put_member("none", user.id, Role.READER)
        assert not one.store.put_member("team", 99, Role.READER)

    def test_a_projects_own(self, people: People) -> None:
        people.store.add_project("team", "", 0)
        made, secret = people.give("team", Role.WRITER, "build 7", 900)
        found = people.principal_of(secret)
        assert found is not None
        assert (found.name, found.user, found.projects) == ("team/build 7", 0, {"team": Role.WRITER})
        assert made.expires > time.time() + 800
        assert people.store.drop_project("team")
        assert people.principal_of(secret) is None

    def test_the_last_use_is_noted_and_never_goes_back(self, people: People) -> None:
        user = people.store.add_user("a@example.org", "", "")
        made, _ = token(people, user.id)
        people.store.token_used({made.id: 200.0, 99: 1.0})
        people.store.token_used({made.id: 100.0})
        assert [each.used for each in people.store.tokens(user.id)] == [200.0]

    def test_expired_ones_do_not_gather(self, people: People) -> None:
        user = people.store.add_user("a@example.org", "", "")
        old = Token(0, "old", "login", user.id, created=1.0, expires=2.0)
        people.store.add_token(old, secrets.digest_of("old"))
        assert [each.name for each in people.store.tokens()] == ["old"]
        token(people, user.id)
        assert [each.name for each in people.store.tokens()] == ["laptop"]


class TestLogin:
    def test_gives_a_short_token_that_may_everything(self, people: People) -> None:
        user = people.register("a@example.org", "correct horse battery", "Anna")
        assert user.password.startswith("$argon2id$")
        given = people.login("A@EXAMPLE.org", "correct horse battery")
        assert given is not None
        assert (given[0].kind, given[0].user) == ("login", user.id)
        assert given[0].expires - given[0].created == 12 * 3600
        found = people.principal_of(given[1])
        assert found is not None
        assert found.scopes == {"admin"}

    @pytest.mark.parametrize(
        ("email", "password"),
        [
            ("a@example.org", "wrong horse battery"),
            ("a@example.org", ""),
            ("a@example.org", "correct horse battery\0"),
            ("b@example.org", "correct horse battery"),
            ("nopassword@example.org", ""),
            ("\0", "x"),
            ("\ud800", "\ud800"),
            ("a" * 5000, "x" * 1_000_000),
        ],
    )
    def test_refuses_all_else_alike(self, people: People, email: str, password: str) -> None:
        people.register("a@example.org", "correct horse battery")
        people.store.add_user("nopassword@example.org", "", "")
        assert people.login(email, password) is None

    def test_refuses_who_is_disabled(self, people: People) -> None:
        user = people.register("a@example.org", "correct horse battery")
        people.store.change_user(user.id, disabled=True)
        assert people.login("a@example.org", "correct horse battery") is None

    def test_costs_the_same_for_an_unknown_user(self, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        people.register("a@example.org", "correct horse battery")
        asked: list[str] = []

        class Counted:
            def verify(self, kept: str, said: bytes) -> None:
                asked.append(kept)

        people.login("b@example.org", "x")  # a hash of nobody's is made once
        monkeypatch.setattr(secrets, "_HASHER", Counted())
        people.login("a@example.org", "x")
        people.login("b@example.org", "x")
        assert len(asked) == 2
        assert asked[0].split("$")[:4] == asked[1].split("$")[:4], "the same parameters"

    @pytest.mark.parametrize("password", ["", "short", "x" * 257])
    def test_a_password_has_its_bounds(self, people: People, password: str) -> None:
        with pytest.raises(ValueError, match="8 to 256"):
            people.register("a@example.org", password)
        assert list(people.store.users()) == []


class TestNamed:
    def test_is_made_at_first_sight_and_once(self, make: Make) -> None:
        at_once([partial(make().principal_named, "Anna") for _ in range(4)])
        one = make()
        found = one.principal_named("anna")
        assert found is not None
        assert (found.name, found.scopes, found.admin) == ("anna", frozenset({"admin"}), False)
        assert [user.email for user in one.store.users()] == ["anna"]
        one.store.change_user(found.user, disabled=True)
        assert make().principal_named("anna") is None

    def test_only_ascii_has_a_lower_case(self, people: People) -> None:
        kate = people.store.add_user("Kate", "", "")
        assert people.store.user_by_email("\u212aate") is None
        assert people.store.add_user("\u212aate", "", "").id != kate.id


class TestProjects:
    def test_have_members(self, people: People) -> None:
        store = people.store
        anna, bert = (store.add_user(f"{name}@example.org", name, "") for name in ("anna", "bert"))
        team = store.add_project("team", "ours", anna.id)
        store.add_project("a-team", "", 0)
        assert store.project("team") == team
        assert store.project("none") is None
        with pytest.raises(AlreadyTaken):
            store.add_project("team", "", bert.id)
        store.put_member("team", bert.id, Role.READER)
        assert [(each.email, each.role) for each in store.members("team")] == [
            ("anna@example.org", Role.OWNER),
            ("bert@example.org", Role.READER),
        ]
        assert [each.name for each in store.projects()] == ["a-team", "team"]
        assert [each.name for each in store.projects(bert.id)] == ["team"]
        assert [each.name for each in store.projects(after="a-team", limit=1)] == ["team"]
        assert store.memberships(anna.id) == {"team": Role.OWNER}
        assert store.change_project("team", "theirs") == replace(team, description="theirs")
        assert store.change_project("none", "") is None
        assert store.drop_project("team")
        assert not store.drop_project("team")
        assert store.memberships(anna.id) == {}

    def test_trust_issuers(self, people: People) -> None:
        people.store.add_project("team", "", 0)
        given = Trust(0, "team", "https://ci.example.org", "us", {"repository": "team/app"}, Role.WRITER)
        added = people.store.add_trust(given)
        assert list(people.store.trusts()) == [added] == list(people.store.trusts("team", given.issuer))
        assert list(people.store.trusts(issuer="https://other.example.org")) == []
        assert not people.store.drop_trust("other", added.id)
        assert people.store.drop_trust("team", added.id)
        assert list(people.store.trusts("team")) == []

    def test_a_project_with_repositories_is_not_dropped(self, people: People, database_url: str) -> None:
        people.store.add_project("team", "", 0)
        mine = people.store.define(Defined("files", "team", {"package": "generic"}))
        assert list(people.store.defined()) == [mine]
        with pytest.raises(AlreadyTaken):
            people.store.define(mine)
        with pytest.raises(AlreadyTaken):
            people.store.drop_project("team")
        index = PostgresIndex(database_url)
        epoch, _ = index.find("files", "a")
        assert index.commit("files", "a", "a", entry(), epoch, lambda: True)
        told: list[int] = []
        assert not people.store.undefine("none", told.append)
        with pytest.raises(StoreDown):
            people.store.undefine("files", unnoted)
        assert (list(people.store.defined()), index.find("files", "a")[0]) == ([mine], epoch)
        assert people.store.undefine("files", told.append)
        assert told[0] > entry().fence
        assert index.find("files", "a") == (epoch + 1, None)
        index.close()
        assert not people.store.undefine("files", told.append)
        assert len(told) == 1
        assert people.store.drop_project("team")

    def test_a_repository_is_changed_as_it_was_read_or_not_at_all(self, people: People, database_url: str) -> None:
        people.store.add_project("team", "", 0)
        people.store.add_project("other", "", 0)
        first = people.store.define(Defined("files", "team", {"package": "generic"}))
        with contextlib.closing(PostgresIndex(database_url)) as index:
            said = Publication("a", entry(), description=Description("s", ""))
            index.hosted.change("files", [said], [], lambda _: True, lambda _: None)
            second = people.store.redefine(first, {"package": "generic", "access": "team"})
            assert second == replace(first, definition={"package": "generic", "access": "team"})
            for stale in (first, replace(second, project="other"), replace(second, created=1.0)):
                assert people.store.redefine(stale, {"package": "generic"}, rebuild=True) is None
            assert index.hosted.scope("files", "s")[0] == 1
            assert people.store.redefine(second, {"package": "generic"}, rebuild=True) == first
            assert index.hosted.scope("files", "s")[0] == 2
        assert people.store.redefine(replace(first, name="none"), {}) is None

    def test_who_has_access_stays(self, people: People) -> None:
        store = people.store
        for name in ("team", "guests"):
            store.add_project(name, "", 0)
        with pytest.raises(UnknownProject):
            store.define(Defined("files", "team", {"access": "none"}))
        given = store.define(Defined("files", "team", {"access": "guests"}))
        with pytest.raises(AlreadyTaken):
            store.drop_project("guests")
        with pytest.raises(UnknownProject):
            store.redefine(given, {"access": "none"})
        for word in ("", "everybody", "authenticated"):
            changed = store.redefine(given, {"access": word})
            assert changed is not None
            given = changed
        assert store.drop_project("guests")


class TestTrail:
    def test_the_newest_comes_first_and_pages(self, people: People) -> None:
        one = Event(1.5, "anna", "10.0.0.5", "PUT", "/repository/team/x", 201, "abc", "team")
        other = replace(one, user="bert", action="DELETE", repository="other")
        people.store.record([one, other, one])
        third, second, first = people.store.events()
        assert [third.id > second.id > first.id, replace(first, id=0), replace(second, id=0)] == [True, one, other]
        assert list(people.store.events(before=third.id, limit=1)) == [second]
        assert list(people.store.events(user="anna")) == [third, first]
        assert list(people.store.events(repository="other")) == list(people.store.events(action="DELETE")) == [second]

    def test_takes_whatever_a_client_says(self, people: People) -> None:
        people.store.record([Event(1.0, "", "-", "GET", "\0\ud800" + "x" * 10_000, 400, "")])
        people.store.record([])
        (found,) = people.store.events()
        assert found.path.startswith("\ufffd\ufffdxxx")
        assert len(found.path) == 2048


class TestCopies:
    def test_changes_of_nothing_read_are_seen_by_all(self, make: Make) -> None:
        one, other = make(), make()
        for each in (one, other):
            each.principal_named("anna")  # which believes Redis from then on
        said = iter([{"n": 1}, {"n": 2}])
        assert [each.remembered("list", "k", said.__next__) for each in (one, other, one)] == [{"n": 1}] * 3
        one.store.add_project("team", "", 0)
        assert [each.remembered("list", "k", said.__next__) for each in (other, one)] == [{"n": 2}] * 2

    def test_a_redis_that_lost_all_or_is_old_is_told_before_it_is_believed(
        self, database_url: str, own_valkey: Valkey
    ) -> None:
        memory = RedisAccounts(own_valkey.url)
        people = People(PostgresAccounts(database_url, memory.outdate), memory)
        user = people.store.add_user("a@example.org", "", "")
        made, secret = token(people, user.id)
        people.revoke(token(people, user.id)[0].id)
        assert people.principal_of(secret) is not None
        with redis.Redis.from_url(own_valkey.url) as client:
            old = {key: client.get(key) for key in client.keys("artifactapi:accounts:*")}
            assert int(old[COUNT.encode()] or 0) == 1
            people.revoke(made.id)
            client.flushall()
            assert people.principal_of(secret) is None
            own_valkey.stop()
        own_valkey.start()
        own_valkey.await_ready(10)
        with redis.Redis.from_url(own_valkey.url) as client:
            client.mset(old)  # a dump of before the revocation
        time.sleep(0.6)  # the breaker's
        assert people.principal_of(secret) is None
        people.close()

    def test_redis_away_is_postgres_asked(self, database_url: str, own_valkey: Valkey) -> None:
        memory = RedisAccounts(own_valkey.url)
        people = People(PostgresAccounts(database_url, lambda count: None), memory)
        user = people.store.add_user("a@example.org", "", "")
        made, secret = token(people, user.id)
        own_valkey.stop()
        assert people.principal_of(secret) is not None
        people.revoke(made.id)
        assert people.principal_of(secret) is None
        people.close()

    def test_postgres_away_is_what_redis_remembers_and_nobody_else(self, database_url: str, redis_url: str) -> None:
        memory = RedisAccounts(redis_url)
        people = People(PostgresAccounts(database_url, memory.outdate), memory)
        user = people.store.add_user("a@example.org", "", "")
        _, known = token(people, user.id)
        _, unknown = token(people, user.id)
        assert people.principal_of(known) is not None
        blind = People(PostgresAccounts("postgresql://127.0.0.1:1/none", memory.outdate), memory)
        assert blind.principal_of(known) is not None
        with pytest.raises(StoreDown):
            blind.principal_of(unknown)
        blind.store.close()
        people.close()
