use super::*;
use crate::field::FieldPath;

const PODS: Qualified<'static> = Qualified { group: "", name: "pods" };
const DEPLOYMENTS: Qualified<'static> = Qualified { group: "apps", name: "deployments" };

#[test]
fn errors_read_as_a_stock_server_says_them() {
    let cases = [
        (Status::not_found(DEPLOYMENTS, "web"), 404, "deployments.apps \"web\" not found"),
        (Status::already_exists(PODS, "a"), 409, "pods \"a\" already exists"),
        (
            Status::modified(PODS, "x-life"),
            409,
            "Operation cannot be fulfilled on pods \"x-life\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (Status::forbidden(PODS, "", "no"), 403, "pods is forbidden: no"),
        (Status::unauthorized(), 401, "Unauthorized"),
        (
            Status::too_large_resource_version(99999999999, 644),
            504,
            "Timeout: Too large resource version: 99999999999, current: 644",
        ),
        (Status::too_large("limit is 3145728"), 413, "Request entity is too large: limit is 3145728"),
        (Status::too_old(1, 20), 410, "too old resource version: 1 (20)"),
        (Status::internal("boom"), 500, "Internal error occurred: boom"),
        (
            Status::not_acceptable(&["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]),
            406,
            "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
    ];
    for (status, code, message) in cases {
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
}

#[test]
fn a_denied_attempt_names_user_verb_resource_and_scope() {
    let attempt = |namespace, name, subresource| Attempt::Resource {
        user: "bob",
        verb: "list",
        group: "",
        resource: "secrets",
        subresource,
        namespace,
        name,
    };
    let denied = |namespace, name, subresource| Status::denied(&attempt(namespace, name, subresource), "").message;
    assert_eq!(
        denied("golden", "", ""),
        "secrets is forbidden: User \"bob\" cannot list resource \"secrets\" in API group \"\" in the namespace \"golden\""
    );
    assert_eq!(
        denied("", "a", "status"),
        "secrets \"a\" is forbidden: User \"bob\" cannot list resource \"secrets/status\" in API group \"\" at the cluster scope"
    );
    let path = Attempt::Path { user: "system:anonymous", verb: "get", path: "/" };
    assert_eq!(Status::denied(&path, "").message, "forbidden: User \"system:anonymous\" cannot get path \"/\"");
}

#[test]
fn an_invalid_object_lists_its_causes_and_says_each_once() {
    let spec = FieldPath::new("spec");
    let mut errors = ErrorList::default();
    errors.required(spec.child("b"), "");
    let one = Status::invalid(("apps", "Deployment"), "web", &errors);
    assert_eq!(one.message, "Deployment.apps \"web\" is invalid: spec.b: Required value");
    errors.required(spec.child("b"), "");
    errors.invalid(spec.child("a").index(1), "x", "must not be x");
    let two = Status::invalid(("apps", "Deployment"), "web", &errors);
    assert_eq!(
        two.message,
        "Deployment.apps \"web\" is invalid: [spec.b: Required value, spec.a[1]: Invalid value: \"x\": must not be x]"
    );
    assert_eq!(
        two.to_value()["details"],
        json!({"name": "web", "group": "apps", "kind": "Deployment", "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.b"},
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.b"},
            {"reason": "FieldValueInvalid", "message": "Invalid value: \"x\": must not be x", "field": "spec.a[1]"},
        ]})
    );
}

#[test]
fn a_status_survives_the_way_over_the_wire() {
    for status in [
        Status::not_found(DEPLOYMENTS, "web"),
        Status::internal("boom"),
        Status::no_such_resource(),
        Status::continue_expired(Some("abc".into())),
        Status::too_many_requests("slow down", 3),
        Status::deleted(PODS, "a", "some-uid"),
        Status::success(201),
    ] {
        assert_eq!(Status::from_value(&status.to_value()), Some(status));
    }
    assert_eq!(Status::from_value(&json!({"kind": "Pod"})), None);
}

#[test]
fn a_deleted_object_is_answered_with_success() {
    assert_eq!(
        Status::deleted(DEPLOYMENTS, "web", "u").to_value(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": "web", "group": "apps", "kind": "deployments", "uid": "u"}})
    );
}

#[test]
fn quotes_are_those_of_go() {
    assert_eq!(quoted("a\"b\\c\nd\u{1}é"), "\"a\\\"b\\\\c\\nd\\x01é\"");
}
