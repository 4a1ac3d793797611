"""SES v2's contact lists and contacts through boto3, and the pages behind a mail's link."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from botocore.exceptions import ClientError

from paravion.adapters.memory import MemoryRecords
from paravion.api.admin_doors import ADMIN_DOORS
from paravion.api.doors import answer
from paravion.api.http_event import HttpRequest
from paravion.domain import unsubscribe
from paravion.domain.unsubscribe import Link
from paravion.errors import LedgerUnavailable
from paravion.services import contacts, unsubscribe_keys
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY

TOPICS = [
    {"TopicName": "sport", "DisplayName": "Sport & <more>", "DefaultSubscriptionStatus": "OPT_IN", "Description": "all of it"},
    {"TopicName": "offers", "DisplayName": "Offers", "DefaultSubscriptionStatus": "OPT_OUT"},
]  # fmt: skip


@pytest.fixture
def ses(served):
    """A client with a list."""
    client = served.client("sesv2")
    client.create_contact_list(
        ContactListName="news", Topics=TOPICS, Description="Our news", Tags=[{"Key": "a", "Value": "b"}]
    )
    return client


def fails(code, call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_lists_life(ses):
    shown = ses.get_contact_list(ContactListName="news")
    assert (shown["Topics"], shown["Description"], shown["Tags"]) == (TOPICS, "Our news", [{"Key": "a", "Value": "b"}])
    assert shown["CreatedTimestamp"] == shown["LastUpdatedTimestamp"]
    ses.update_contact_list(ContactListName="news", Topics=TOPICS[:1])
    shown = ses.get_contact_list(ContactListName="news")
    assert (shown["Topics"], shown.get("Description"), shown["Tags"]) == (
        TOPICS[:1],
        None,
        [{"Key": "a", "Value": "b"}],
    )
    for name in ("b", "a"):
        ses.create_contact_list(ContactListName=name)
    first = ses.list_contact_lists(PageSize=2)
    assert [item["ContactListName"] for item in first["ContactLists"]] == ["a", "b"]
    rest = ses.list_contact_lists(PageSize=2, NextToken=first["NextToken"])
    assert [item["ContactListName"] for item in rest["ContactLists"]] == ["news"]
    assert "NextToken" not in rest
    ses.create_contact(ContactListName="news", EmailAddress="a@example.com")
    ses.delete_contact_list(ContactListName="news")
    assert fails("NotFoundException", ses.get_contact_list, ContactListName="news") == 404
    ses.create_contact_list(ContactListName="news")
    assert ses.list_contacts(ContactListName="news")["Contacts"] == []


def test_a_contacts_life(ses):
    key = {"ContactListName": "news", "EmailAddress": "Ann@Example.com"}
    ses.create_contact(
        **key, TopicPreferences=[{"TopicName": "offers", "SubscriptionStatus": "OPT_IN"}], AttributesData='{"n": 1}'
    )
    shown = ses.get_contact(ContactListName="news", EmailAddress="ann@example.com")
    assert shown["EmailAddress"] == "Ann@Example.com"
    assert shown["TopicPreferences"] == [{"TopicName": "offers", "SubscriptionStatus": "OPT_IN"}]
    assert {"TopicName": "sport", "SubscriptionStatus": "OPT_IN"} in shown["TopicDefaultPreferences"]
    assert (shown["UnsubscribeAll"], shown["AttributesData"]) == (False, '{"n": 1}')
    ses.update_contact(**key, UnsubscribeAll=True)
    shown = ses.get_contact(**key)
    assert (shown["TopicPreferences"], shown["UnsubscribeAll"], shown["AttributesData"]) == ([], True, '{"n": 1}')
    ses.update_contact(**key, TopicPreferences=[{"TopicName": "offers", "SubscriptionStatus": "OPT_OUT"}])
    assert ses.get_contact(**key)["UnsubscribeAll"] is True
    ses.update_contact_list(ContactListName="news", Topics=TOPICS[:1])
    assert ses.get_contact(**key)["TopicPreferences"] == []  # the topic is gone
    ses.delete_contact(**key)
    assert fails("NotFoundException", ses.get_contact, **key) == 404


NEWS = {"ContactListName": "news"}
ANN = {**NEWS, "EmailAddress": "ann@example.com"}
PREFERENCE = {"TopicName": "sport", "SubscriptionStatus": "OPT_IN"}


ERRORS = [
    ("AlreadyExistsException", "create_contact_list", NEWS),
    ("BadRequestException", "create_contact_list", {"ContactListName": "a b"}),
    ("BadRequestException", "create_contact_list", {"ContactListName": "x", "Topics": TOPICS * 11}),
    ("BadRequestException", "create_contact_list", {"ContactListName": "x", "Topics": TOPICS * 2}),
    ("BadRequestException", "create_contact_list", {"ContactListName": "x", "Topics": [{**TOPICS[0], "TopicName": "a b"}]}),
    ("BadRequestException", "create_contact_list", {"ContactListName": "x", "Topics": [{**TOPICS[0], "DisplayName": ""}]}),
    ("BadRequestException", "create_contact_list", {"ContactListName": "x", "Topics": [{**TOPICS[0], "DefaultSubscriptionStatus": "MAYBE"}]}),
    ("BadRequestException", "create_contact_list", {"ContactListName": "x", "Description": "x" * 501}),
    ("NotFoundException", "update_contact_list", {"ContactListName": "nobody"}),
    ("NotFoundException", "update_contact_list", {"ContactListName": "a b"}),
    ("NotFoundException", "get_contact_list", {"ContactListName": "no body"}),
    ("NotFoundException", "delete_contact_list", {"ContactListName": "nobody"}),
    ("BadRequestException", "list_contact_lists", {"PageSize": 0}),
    ("InvalidNextTokenException", "list_contact_lists", {"NextToken": "%"}),
    ("NotFoundException", "create_contact", {**ANN, "ContactListName": "nobody"}),
    ("AlreadyExistsException", "create_contact", {**ANN, "EmailAddress": "THERE@example.com"}),
    ("BadRequestException", "create_contact", {**ANN, "EmailAddress": "nobody"}),
    ("BadRequestException", "create_contact", {**ANN, "EmailAddress": "a@b.example\r\nBcc: x@y.example"}),
    ("BadRequestException", "create_contact", {**ANN, "TopicPreferences": [{**PREFERENCE, "TopicName": "war"}]}),
    ("BadRequestException", "create_contact", {**ANN, "TopicPreferences": [PREFERENCE, PREFERENCE]}),
    ("BadRequestException", "create_contact", {**ANN, "AttributesData": "[]"}),
    ("BadRequestException", "create_contact", {**ANN, "AttributesData": "{"}),
    ("BadRequestException", "create_contact", {**ANN, "AttributesData": json.dumps({"x": "y" * 10_000})}),
    ("NotFoundException", "update_contact", ANN),
    ("NotFoundException", "get_contact", ANN),
    ("NotFoundException", "delete_contact", ANN),
    ("NotFoundException", "list_contacts", {"ContactListName": "nobody"}),
    ("BadRequestException", "list_contacts", {**NEWS, "Filter": {"TopicFilter": {"TopicName": "sport"}}}),
    ("BadRequestException", "list_contacts", {**NEWS, "Filter": {"FilteredStatus": "OPT_IN", "TopicFilter": {"TopicName": "war"}}}),
    ("InvalidNextTokenException", "list_contacts", {**NEWS, "NextToken": "%"}),
]  # fmt: skip


def test_errors_by_ses_name(ses):
    """Each modelled error that there can be; none of these changes anything, so that one world does."""
    ses.create_contact(**NEWS, EmailAddress="there@example.com")
    for code, operation, given in ERRORS:
        print(operation, given)
        fails(code, getattr(ses, operation), **given)


def test_limits_and_somebody_faster(ses, served, monkeypatch):
    monkeypatch.setattr(contacts, "LISTS_MAX", 1)
    assert fails("LimitExceededException", ses.create_contact_list, ContactListName="more") == 400
    monkeypatch.setattr(contacts, "DELETED_AT_ONCE", 2)
    for number in range(3):
        ses.create_contact(**NEWS, EmailAddress=f"{number}@example.com")
    assert fails("TooManyRequestsException", ses.delete_contact_list, **NEWS) == 429
    put = served.records.put
    monkeypatch.setattr(
        served.records, "put", lambda *args, version=None: None if version else put(*args, version=version)
    )
    fails("ConcurrentModificationException", ses.update_contact_list, **NEWS, Topics=TOPICS)
    fails("ConcurrentModificationException", ses.update_contact, **NEWS, EmailAddress="2@example.com")
    monkeypatch.undo()
    ses.delete_contact_list(**NEWS)


def test_filters_and_pages(ses):
    """SES's four questions; explicit preferences, defaults where they are asked for, and who left everything."""
    said = {"in": "OPT_IN", "out": "OPT_OUT"}
    for name in ("in", "out", "silent", "left"):
        preferences = [{"TopicName": "sport", "SubscriptionStatus": said[name]}] if name in said else []
        ses.create_contact(
            **NEWS, EmailAddress=f"{name}@x.example", TopicPreferences=preferences, UnsubscribeAll=name == "left"
        )

    def names(status, topic=None, *, default=False, **given):
        by_topic = {"TopicFilter": {"TopicName": topic, "UseDefaultIfPreferenceUnavailable": default}} if topic else {}
        given = {"Filter": {"FilteredStatus": status, **by_topic}, **given} if status else given
        found = ses.list_contacts(**NEWS, **given)
        return [item["EmailAddress"].partition("@")[0] for item in found["Contacts"]], found.get("NextToken")

    assert names(None)[0] == ["in", "left", "out", "silent"]
    assert names("OPT_IN")[0] == ["in", "out", "silent"]
    assert names("OPT_OUT")[0] == ["left"]
    assert names("OPT_IN", "sport")[0] == ["in"]
    assert names("OPT_IN", "sport", default=True)[0] == ["in", "silent"]
    assert names("OPT_OUT", "sport", default=True)[0] == ["left", "out"]
    assert names("OPT_OUT", "offers", default=True)[0] == ["in", "left", "out", "silent"]
    first, token = names("OPT_IN", PageSize=2)
    assert first == ["in", "out"]
    assert names("OPT_IN", PageSize=2, NextToken=token) == (["silent"], None)


def test_a_list_that_is_mostly_filtered_out_comes_in_pages(world, monkeypatch):
    """A call looks at so many contacts, and then says where to go on, though it has none to show."""
    monkeypatch.setattr(contacts, "_PAGE", 2)
    monkeypatch.setattr(contacts, "_SCANNED", 4)
    records = MemoryRecords()
    records.put("contact-list", "news", {"ContactListName": "news", "Topics": TOPICS})
    for number in range(7):
        records.put("contact/news", f"{number}@x.example", {"EmailAddress": "x", "UnsubscribeAll": number == 6})
    deps, found, after, calls = world.admin_deps, [], "", 0
    object.__setattr__(deps, "records", records)
    while calls == 0 or after:
        some, after, _ = contacts.page("news", 5, after, {"FilteredStatus": "OPT_OUT"}, _principal(), deps)
        found += some
        calls += 1
    assert (len(found), calls) == (1, 2)


def _principal(tenant=""):
    from paravion.services.authenticate import Principal

    return Principal("AKIA", tenant=tenant)


# The pages behind the link


class Page(HTMLParser):
    """What a reader finds."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def boxes(self):
        return {a["name"]: "checked" in a for t, a in self.tags if t == "input"}


@pytest.fixture
def link(ses, served):
    """Give the path of a link for somebody."""

    def make(topic="sport", address="ann@example.com", tenant=""):
        keys = unsubscribe_keys.read(served.secrets)
        return unsubscribe.PATH + unsubscribe.make_token(Link(tenant, "news", topic, address, "q1"), keys)

    return make


def ask(world, method, path, body="", content_type="application/x-www-form-urlencoded", deps=None):
    request = HttpRequest(method, path, "", {"host": "h", "content-type": content_type}, body.encode())
    return answer(request, deps or world.admin_deps, ADMIN_DOORS)


def kept(world, address="ann@example.com"):
    record = world.records.get("contact/news", address)
    return record.value if record else None


ONE_CLICK = "List-Unsubscribe=One-Click"
MULTIPART = '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'


def test_asking_changes_nothing(served, link):
    """Scanners follow every link. The page is for people who see it and for those who hear it."""
    given = ask(served, "GET", link())
    assert (given.status, kept(served)) == (200, None)
    assert given.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in given.headers["content-security-policy"]
    page = Page(given.body)
    assert page.boxes() == {"topic.sport": True, "topic.offers": False}
    assert ("form", {"method": "post"}) in page.tags
    assert {"lang": "en"} in [attributes for tag, attributes in page.tags if tag == "html"]
    assert given.body.count("<label><input") == 2
    assert "Sport &amp; &lt;more&gt;" in given.body


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(ONE_CLICK, "application/x-www-form-urlencoded"), (MULTIPART, "multipart/form-data; boundary=b")],
)
def test_one_click_unsubscribes_from_the_topic(served, link, body, content_type):
    """RFC 8058 3.2, both types of form; who was no contact becomes one, who has left."""
    assert ask(served, "POST", link(), body, content_type).status == 200
    assert kept(served)["TopicPreferences"] == [{"TopicName": "sport", "SubscriptionStatus": "OPT_OUT"}]
    assert kept(served)["UnsubscribeAll"] is False


def test_one_click_without_a_topic_leaves_the_list(served, link):
    assert ask(served, "POST", link(topic=""), ONE_CLICK).status == 200
    assert kept(served)["UnsubscribeAll"] is True
    assert "unsubscribed from all" in ask(served, "GET", link(topic="")).body


def test_the_pages_own_form(served, link):
    assert ask(served, "POST", link(), "topic.offers=on&do=save").status == 200
    assert Page(ask(served, "GET", link()).body).boxes() == {"topic.sport": False, "topic.offers": True}
    ask(served, "POST", link(), "do=leave")
    assert kept(served)["UnsubscribeAll"] is True
    # With a topic he is back; a topic that there is not is nobody's.
    ask(served, "POST", link(), "topic.sport=on&topic.war=on&do=save")
    assert (kept(served)["UnsubscribeAll"], len(kept(served)["TopicPreferences"])) == (False, 2)
    ask(served, "POST", link(), "do=save")
    assert kept(served)["UnsubscribeAll"] is True


@pytest.mark.parametrize("body", ["", "x=y", "List-Unsubscribe=Two-Clicks", "do=explode", "a=1&" * 200, "x" * 200_000])
def test_a_form_that_says_nothing_changes_nothing(served, link, body):
    given = ask(served, "POST", link(), body)
    assert (given.status, kept(served)) == (400, None)
    assert given.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_is_not_ours(served, link, method):
    """Another key's, a changed one, another tenant's list of that name."""
    for path in ("/unsubscribe/x", link() + "x", link().replace("unsubscribe/", "unsubscribe/a"), "/unsubscribe/%00"):
        given = ask(served, method, path, ONE_CLICK)
        assert (given.status, kept(served)) == (404, None)
    assert "there no more" in ask(served, "GET", link(tenant="acme")).body
    ask(served, "POST", link(tenant="acme"), ONE_CLICK)
    assert kept(served) is None


def test_rotation_is_an_operators_and_keeps_old_links(served, link):
    path = link()
    from tests.unit.api.test_operators_routes import asked

    assert asked(served, "POST", "/v1/unsubscribe/rotation", b"")[0] == 403
    served.put_credential(operator=True)
    assert asked(served, "POST", "/v1/unsubscribe/rotation", b"")[1] == {"keys": 2}
    assert ask(served, "POST", path, ONE_CLICK).status == 200


def test_a_change_is_told_once(served, link):
    """In SES's words of old and new; a second click changes nothing. Who can't be told stops nobody."""
    told = []
    deps = served.admin_deps
    object.__setattr__(deps, "on_subscription", told.append)
    for _ in range(2):
        ask(served, "POST", link(), ONE_CLICK, deps=deps)
    (change,) = told
    assert (change.link.queue_id, change.source) == ("q1", "UnsubscribeHeader")
    assert change.old == {"unsubscribeAll": False, "topicSubscriptionStatus": [
        {"topicName": "sport", "subscriptionStatus": "OptIn"}, {"topicName": "offers", "subscriptionStatus": "OptOut"}]}  # fmt: skip
    assert change.new["topicSubscriptionStatus"][0] == {"topicName": "sport", "subscriptionStatus": "OptOut"}
    assert [event for event, _ in served.event_log.records] == ["Subscription"]

    def away(_):
        raise LedgerUnavailable("x")

    object.__setattr__(deps, "on_subscription", away)
    assert ask(served, "POST", link(), "do=leave", deps=deps).status == 200
    assert kept(served)["UnsubscribeAll"] is True


def test_no_secret_in_the_log(served, link):
    """Whoever reads the log must not be able to unsubscribe people."""
    path = link()
    ask(served, "POST", path, ONE_CLICK)
    ask(served, "POST", path + "x", ONE_CLICK)
    assert not re.search(path[-20:], repr(served.event_log.records))


def test_another_tenant_finds_nothing(ses, served):
    ses.create_contact(**ANN)
    text = json.dumps({"secret_key": SECRET_KEY, "tenant": "acme"})
    served.secrets.put(f"credentials/{ACCESS_KEY}", text)
    other = served.client("sesv2")
    assert other.list_contact_lists()["ContactLists"] == []
    for operation in ("get_contact_list", "list_contacts", "delete_contact_list", "update_contact_list"):
        fails("NotFoundException", getattr(other, operation), **NEWS)
    for operation in ("get_contact", "delete_contact", "update_contact", "create_contact"):
        fails("NotFoundException", getattr(other, operation), **ANN)
    other.create_contact_list(**NEWS)
    assert other.list_contacts(**NEWS)["Contacts"] == []
