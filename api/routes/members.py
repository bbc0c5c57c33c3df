"""/v1/members and /v1/groups"""

from __future__ import annotations

from api.answers import Answer, no_content, ok
from api.operations import Call, Door
from api.pagination import PageQuery
from api.schemas.deliveries import Group, GroupBody, GroupList, Member, MemberBody, MemberList, PersonName
from taskengine.lifecycle import members as people

members = Door("members", "People who can be told something.")
groups = Door("groups", "Members under one name.")


@members.route("GET", "/v1/members", {200: MemberList})
def listing(call: Call, query: PageQuery) -> Answer:
    """List members by name."""
    return ok(people.listing(call.engine, call.caller, query.request()).as_dict())


@members.route("GET", "/v1/members/<name>", {200: Member})
def get(call: Call, name: PersonName) -> Answer:
    """Get a member."""
    return ok(people.get(call.engine, call.caller, name))


@members.route("PUT", "/v1/members/<name>", {200: Member}, scope="admin")
def put(call: Call, name: PersonName, body: MemberBody) -> Answer:
    """Make a member, or replace the one of that name."""
    fields = people.MemberFields(body.role, body.email, body.slack_url, body.webhook_url, body.channels)
    return ok(people.put(call.engine, call.caller, name, fields))


@members.route("DELETE", "/v1/members/<name>", {204: None}, scope="admin")
def delete(call: Call, name: PersonName) -> Answer:
    """Delete a member, from groups too."""
    people.delete(call.engine, call.caller, name)
    return no_content()


@groups.route("GET", "/v1/groups", {200: GroupList})
def group_listing(call: Call, query: PageQuery) -> Answer:
    """List groups by name."""
    return ok(people.groups(call.engine, call.caller, query.request()).as_dict())


@groups.route("GET", "/v1/groups/<name>", {200: Group})
def get_group(call: Call, name: PersonName) -> Answer:
    """Get a group."""
    return ok(people.get_group(call.engine, call.caller, name))


@groups.route("PUT", "/v1/groups/<name>", {200: Group}, scope="admin")
def put_group(call: Call, name: PersonName, body: GroupBody) -> Answer:
    """Make a group, or replace who is in it."""
    return ok(people.put_group(call.engine, call.caller, name, body.members))


@groups.route("DELETE", "/v1/groups/<name>", {204: None}, scope="admin")
def delete_group(call: Call, name: PersonName) -> Answer:
    """Delete a group, not its members."""
    people.delete_group(call.engine, call.caller, name)
    return no_content()
