#!/usr/bin/env python3
"""A client that speaks nothing but protobuf, by Python's own protobuf runtime and the tables of the messages.

    client.py URL TOKEN CA RECORDINGS...

Creates, reads, lists, updates, watches and deletes objects with typed messages, then takes an object of every kind of the recordings
through the runtime and back: nothing may be unknown to it, and what it writes again may change nothing.
"""
import gzip, http.client, json, os, re, ssl, struct, sys, urllib.parse

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields

PROTOBUF = "application/vnd.kubernetes.protobuf"
SCALARS = {"string": 9, "bytes": 12, "bool": 8, "int32": 5, "int64": 3, "uint32": 13, "uint64": 4, "double": 1, "float": 2}
RUNTIME = "k8s.io.apimachinery.pkg.runtime."


def load(path):
    """A pool with every message of the tables."""
    tables = json.load(gzip.open(path))
    packages = {}
    for name in tables:
        packages.setdefault(name.rsplit(".", 1)[0], []).append(name)

    def absolute(package, kind):
        kind = kind.lstrip(".")
        return kind if kind in tables else package + "." + kind

    files, needs = {}, {}
    for package, names in packages.items():
        file = files[package] = descriptor_pb2.FileDescriptorProto(name=package + ".proto", package=package, syntax="proto2")
        needs[package] = set()

        def typed(field, kind):
            if kind in SCALARS:
                field.type = SCALARS[kind]
            else:
                of = absolute(package, kind)
                assert of in tables, (package, kind)
                field.type, field.type_name = 11, "." + of
                needs[package].add(of.rsplit(".", 1)[0])

        for name in names:
            message = file.message_type.add(name=name.rsplit(".", 1)[1])
            for field_name, number, kind, label in tables[name]:
                field = message.field.add(name=field_name, number=number, label=3 if label == "repeated" else 1)
                entries = re.fullmatch(r"map<(.*?), *(.*)>", kind)
                if not entries:
                    typed(field, kind)
                    continue
                entry = message.nested_type.add(name=field_name[:1].upper() + field_name[1:] + "Entry")
                entry.options.map_entry = True
                typed(entry.field.add(name="key", number=1, label=1), entries.group(1))
                typed(entry.field.add(name="value", number=2, label=1), entries.group(2))
                field.label, field.type, field.type_name = 3, 11, "." + name + "." + entry.name
        needs[package].discard(package)
    pool, done = descriptor_pool.DescriptorPool(), set()

    def add(package):
        if package in done:
            return
        done.add(package)
        for other in sorted(needs[package]):
            add(other)
            files[package].dependency.append(other + ".proto")
        pool.Add(files[package]) if hasattr(pool, "Add") else pool.AddSerializedFile(files[package].SerializeToString())

    for package in sorted(files):
        add(package)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


class Api:
    def __init__(self, url, token, ca, messages):
        at = urllib.parse.urlsplit(url)
        self.connect = lambda: http.client.HTTPSConnection(at.hostname, at.port, context=ssl.create_default_context(cafile=ca), timeout=30)
        self.connection, self.token, self.of = self.connect(), token, messages

    def ask(self, method, path, body=None, accept=PROTOBUF, content=PROTOBUF):
        headers = {"Authorization": "Bearer " + self.token, "Accept": accept}
        if body is not None:
            headers["Content-Type"] = content
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        assert accept != PROTOBUF or answer.getheader("Content-Type") == PROTOBUF, (path, answer.getheader("Content-Type"))
        return answer.status, data

    def unwrap(self, data):
        """Kind and message of an answer."""
        assert data[:4] == b"k8s\0", data[:20]
        unknown = self.of(RUNTIME + "Unknown")()
        unknown.ParseFromString(data[4:])
        return unknown.typeMeta, unknown.raw

    def wrap(self, api_version, kind, message):
        unknown = self.of(RUNTIME + "Unknown")()
        unknown.typeMeta.apiVersion, unknown.typeMeta.kind, unknown.raw = api_version, kind, message.SerializeToString()
        return b"k8s\0" + unknown.SerializeToString()

    def send(self, method, path, api_version, kind, message, want):
        status, data = self.ask(method, path, self.wrap(api_version, kind, message))
        assert status == want, (method, path, status, self.unwrap(data))
        meta, raw = self.unwrap(data)
        assert (meta.apiVersion, meta.kind) == (api_version, kind), meta
        answer = type(message)()
        answer.ParseFromString(raw)
        return answer

    def get(self, path, message):
        status, data = self.ask("GET", path)
        assert status == 200, (path, status)
        message = message()
        meta, raw = self.unwrap(data)
        message.ParseFromString(raw)
        return meta, message


def nothing_unknown(message, path):
    assert len(unknown_fields.UnknownFieldSet(message)) == 0, "%s has fields that the tables do not name" % path
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = value.values() if field.message_type.fields_by_name["value"].message_type else []
        elif hasattr(value, "ListFields"):
            values = [value]
        else:
            values = value
        for one in values:
            nothing_unknown(one, path + "." + field.name)


def typed(api):
    """One life of typed objects."""
    maps = "/api/v1/namespaces/default/configmaps"
    config_map = api.of("k8s.io.api.core.v1.ConfigMap")
    new = config_map()
    new.metadata.name = "typed"
    new.data["a"] = "1"
    new.binaryData["b"] = b"\0\1\2"
    made = api.send("POST", maps, "v1", "ConfigMap", new, 201)
    assert made.metadata.uid and made.metadata.resourceVersion and made.data["a"] == "1" and made.binaryData["b"] == b"\0\1\2"
    assert made.metadata.creationTimestamp.seconds > 1_700_000_000

    # Before the update, so that it is seen.
    connection = api.connect()
    connection.request("GET", maps + "?watch=1&resourceVersion=" + made.metadata.resourceVersion, None,
                       {"Authorization": "Bearer " + api.token, "Accept": PROTOBUF + ";stream=watch"})
    stream = connection.getresponse()
    assert stream.status == 200, stream.status

    made.data["a"] = "2"
    changed = api.send("PUT", maps + "/typed", "v1", "ConfigMap", made, 200)
    assert changed.data["a"] == "2" and changed.metadata.resourceVersion != made.metadata.resourceVersion
    status, data = api.ask("PUT", maps + "/typed", api.wrap("v1", "ConfigMap", made))
    meta, raw = api.unwrap(data)
    refused = api.of("k8s.io.apimachinery.pkg.apis.meta.v1.Status")()
    refused.ParseFromString(raw)
    assert (status, meta.kind, refused.reason, refused.code) == (409, "Status", "Conflict", 409), refused

    _, got = api.get(maps + "/typed", config_map)
    assert got == changed
    meta, listed = api.get(maps + "?limit=1", api.of("k8s.io.api.core.v1.ConfigMapList"))
    assert meta.kind == "ConfigMapList" and listed.items[0].metadata.name == "typed" and listed.metadata.resourceVersion

    def event():
        length = struct.unpack(">I", stream.read(4))[0]
        watched = api.of("k8s.io.apimachinery.pkg.apis.meta.v1.WatchEvent")()
        watched.ParseFromString(stream.read(length))
        meta, raw = api.unwrap(watched.object.raw)
        assert meta.kind == "ConfigMap", meta
        object = config_map()
        object.ParseFromString(raw)
        return watched.type, object

    kind, object = event()
    assert kind == "MODIFIED" and object == changed, kind
    options = api.of("k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions")()
    options.preconditions.uid = changed.metadata.uid
    status, data = api.ask("DELETE", maps + "/typed", api.wrap("v1", "DeleteOptions", options))
    assert status == 200, api.unwrap(data)
    kind, object = event()
    assert kind == "DELETED" and object.metadata.uid == changed.metadata.uid, kind
    connection.close()


def every_kind(api, recordings):
    """An object of every kind, through the runtime and back."""
    kinds = set()
    for name in recordings:
        for line in gzip.open(name, "rt"):
            for step in json.loads(line)["steps"]:
                path = step["path"].split("?")[0]
                if step["method"] != "POST" or step["want"]["status"] != 201 or not isinstance(step.get("body"), dict):
                    continue
                status, data = api.ask("POST", path, json.dumps(step["body"]), "application/json", "application/json")
                made = json.loads(data)
                if status != 201 or "uid" not in made.get("metadata", {}) or not made.get("kind"):
                    continue
                group, version = made["apiVersion"].rsplit("/", 1) if "/" in made["apiVersion"] else ("", made["apiVersion"])
                place = {"": "k8s.io.api.core", "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
                         "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
                         "internal.apiserver.k8s.io": "k8s.io.api.apiserverinternal"}
                short = group.split(".")[0]
                message = api.of("%s.%s.%s" % (place.get(group, "k8s.io.api." + short), version, made["kind"]))
                one = path + "/" + made["metadata"]["name"]
                meta, object = api.get(one, message)
                assert (meta.apiVersion, meta.kind) == (made["apiVersion"], made["kind"]), meta
                nothing_unknown(object, made["kind"])
                again = api.send("PUT", one, meta.apiVersion, meta.kind, object, 200)
                assert again.metadata.resourceVersion == object.metadata.resourceVersion, "%s changes on its way: %s" % (one, again)
                _, listed = api.get(path, api.of("%s.%s.%sList" % (place.get(group, "k8s.io.api." + short), version, made["kind"])))
                assert object in list(listed.items), one
                kinds.add(made["kind"])
    return kinds


def main():
    url, token, ca, recordings = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    api = Api(url, token, ca, load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "messages.json.gz")))
    typed(api)
    namespace = json.dumps({"metadata": {"name": "golden"}})
    api.ask("POST", "/api/v1/namespaces", namespace, "application/json", "application/json")
    account = json.dumps({"metadata": {"name": "default"}})
    api.ask("POST", "/api/v1/namespaces/golden/serviceaccounts", account, "application/json", "application/json")
    kinds = every_kind(api, recordings)
    print("%d kinds: %s" % (len(kinds), " ".join(sorted(kinds))))
    assert len(kinds) >= 50, "too few kinds"


if __name__ == "__main__":
    main()
