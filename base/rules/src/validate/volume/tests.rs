use serde_json::{Value, json};

use super::super::tests::{pod, template, with_container};

const V: &str = "spec.volumes[0]";

/// Each of the sources is refused for just these reasons, paths below the volume.
fn refused(cases: &[(Value, &[&str])]) {
    for (source, want) in cases {
        let mut volume = source.clone();
        volume["name"] = "v".into();
        let want: Vec<String> = want.iter().map(|error| format!("{V}{error}")).collect();
        assert_eq!(pod(json!({"volumes": [volume]})), want, "{source}");
    }
}

#[test]
fn a_volume_has_one_source() {
    let why = "Forbidden: may not specify more than 1 volume type";
    let [ceph, downward] = ["cephFS", "downwarAPI"].map(|told| format!(".{told}: {why}"));
    refused(&[(json!({"emptyDir": {}, "cephfs": {}}), &[&ceph]), (json!({"emptyDir": {}, "downwardAPI": {}}), &[&downward])]);
}

#[test]
fn names_of_broken_volumes_are_free() {
    let broken = json!({"name": "v", "hostPath": {"path": ""}});
    let good = json!({"name": "v", "emptyDir": {}});
    assert_eq!(pod(json!({"volumes": [broken, good]})), [format!("{V}.hostPath.path: Required value")]);
    assert_eq!(pod(json!({"volumes": [good, good]})), ["spec.volumes[1].name: Duplicate value: \"v\""]);
}

#[test]
fn disks_and_shares_say_what_they_are() {
    let required = |fields: &[&str]| fields.iter().map(|field| format!("{field}: Required value")).collect::<Vec<_>>();
    for (source, want) in [
        (json!({"gcePersistentDisk": {}}), required(&[".persistentDisk.pdName"])),
        (json!({"azureDisk": {}}), {
            let mut want = required(&[".azureDisk.diskName", ".azureDisk.diskURI"]);
            want.push(".azureDisk.diskURI: Unsupported value: \"\": supported values: \"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd\"".into());
            want
        }),
        (json!({"scaleIO": {"secretRef": {}}}), required(&[".scaleIO.gateway", ".scaleIO.system", ".scaleIO.volumeName"])),
        (json!({"storageos": {"secretRef": {}}}), required(&[".storageos.volumeName", ".storageos.secretRef.name"])),
        (json!({"vsphereVolume": {}}), required(&[".vsphereVolume.volumePath"])),
        (json!({"photonPersistentDisk": {}}), required(&[".photonPersistentDisk.pdID"])),
        (json!({"cinder": {"volumeID": "a", "secretRef": {}}}), required(&[".cinder.secretRef.name"])),
        (json!({"csi": {"driver": "d.example", "nodePublishSecretRef": {}}}), required(&[".csi.nodePublishSecretRef.name"])),
    ] {
        let want: Vec<&str> = want.iter().map(String::as_str).collect();
        refused(&[(source, &want)]);
    }
    refused(&[
        (
            json!({"gcePersistentDisk": {"pdName": "a", "partition": 300}}),
            &[".persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive"],
        ),
        (json!({"csi": {"driver": "D.Example"}}), &[]),
        (json!({"csi": {"driver": "a".repeat(64)}}), &[".csi.driver: Too long: may not be more than 63 bytes"]),
        (
            json!({"nfs": {"server": "s", "path": ""}}),
            &[".nfs.path: Required value", ".nfs.path: Invalid value: \"\": must be an absolute path"],
        ),
        (
            json!({"flexVolume": {"driver": "d", "options": {"a.Kubernetes.io/b": "c", "b": "c"}}}),
            &[
                ".flexVolume.options[a.Kubernetes.io/b]: Invalid value: \"a.Kubernetes.io/b\": kubernetes.io and k8s.io namespaces are reserved",
            ],
        ),
        (
            json!({"gitRepo": {"repository": "r", "directory": "/a"}}),
            &[".gitRepo.directory: Invalid value: \"/a\": must be a relative path"],
        ),
        (
            json!({"flocker": {"datasetName": "a/b", "datasetUUID": "c"}}),
            &[
                ".flocker: Invalid value: \"resource\": datasetName and datasetUUID can not be specified simultaneously",
                ".flocker.datasetName: Invalid value: \"a/b\": must not contain '/'",
            ],
        ),
        (json!({"fc": {}}), &[".fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
        (json!({"fc": {"targetWWNs": ["a"]}}), &[".fc.lun: Required value: lun is required if targetWWNs is specified"]),
        (
            json!({"fc": {"targetWWNs": ["a"], "wwids": ["b"], "lun": 256}}),
            &[
                ".fc.targetWWNs: Invalid value: [\"a\"]: targetWWNs and wwids can not be specified simultaneously",
                ".fc.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            ],
        ),
        (
            json!({"quobyte": {"registry": "a:1,b", "volume": "v"}}),
            &[".quobyte.registry: Invalid value: \"a:1,b\": must be a host:port pair or multiple pairs separated by commas"],
        ),
        (json!({"quobyte": {"registry": "a:1,[::1]:2", "volume": "v"}}), &[]),
    ]);
}

#[test]
fn initiators_have_names_of_their_own() {
    let iscsi = |iqn: &str| json!({"iscsi": {"targetPortal": "p", "iqn": iqn, "lun": 0}});
    refused(&[
        (iscsi("iqn.2001-04.com.example:a"), &[]),
        (iscsi("eui.0123456789abcdef"), &[]),
        (iscsi("naa.0123456789abcdef0123456789abcdef"), &[]),
        (iscsi("iqn.2001-04.com.example"), &[".iscsi.iqn: Invalid value: \"iqn.2001-04.com.example\": must be valid format"]),
        (iscsi("eui.0"), &[".iscsi.iqn: Invalid value: \"eui.0\": must be valid format"]),
        (iscsi("éé"), &[".iscsi.iqn: Invalid value: \"éé\": must be valid format starting with iqn, eui, or naa"]),
        (
            json!({"iscsi": {"targetPortal": "p", "iqn": "eui.0123456789abcdef", "lun": 256, "chapAuthSession": true}}),
            &[".iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive", ".iscsi.secretRef: Required value"],
        ),
    ]);
}

#[test]
fn files_that_show_the_pod_show_what_it_is_told() {
    let item = |mut item: Value| {
        item["path"] = "a".into();
        json!({"downwardAPI": {"items": [item]}})
    };
    let known = "supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"";
    let known = format!(".downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": {known}");
    refused(&[
        (item(json!({})), &[".downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"]),
        (item(json!({"fieldRef": {"fieldPath": "spec.nodeName"}})), &[&known]),
        (item(json!({"resourceFieldRef": {}})), &[".downwardAPI.resourceFieldRef.containerName: Required value"]),
        (
            item(json!({"fieldRef": {"fieldPath": "spec.nodeName"}, "resourceFieldRef": {}})),
            &[
                &known,
                ".downwardAPI: Invalid value: \"resource\": fieldRef and resourceFieldRef can not be specified simultaneously",
            ],
        ),
    ]);
}

#[test]
fn a_projected_volume_has_each_path_once() {
    let sources = |sources: Value| json!({"projected": {"sources": sources}});
    let map = |name: &str| json!({"configMap": {"name": name, "items": [{"key": "k", "path": "p"}]}});
    refused(&[
        (sources(json!([map("a"), map("b")])), &[".projected: Invalid value: \"b\": conflicting duplicate paths"]),
        (sources(json!([{"serviceAccountToken": {"path": ""}}])), &[".projected.path: Required value"]),
        (
            sources(json!([{"serviceAccountToken": {"path": "/a"}}])),
            &[".projected.path: Invalid value: \"/a\": must be a relative path"],
        ),
        (
            sources(json!([{"serviceAccountToken": {"path": "a"}, "configMap": {"name": "a"}}])),
            &[".projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
        ),
    ]);
    let token = sources(json!([{"serviceAccountToken": {"path": "a"}}]));
    let mut volume = token;
    volume["name"] = "v".into();
    let why = "must not be specified when serviceAccountName is not set";
    let spec = json!({"volumes": [volume], "serviceAccountName": null});
    assert_eq!(pod(spec.clone()), [format!("{V}.projected.sources[0].serviceAccountToken: Forbidden: {why}")]);
    assert!(template(spec).is_empty());
}

#[test]
fn images_are_named_in_pods() {
    let volume = json!({"volumes": [{"name": "v", "image": {}}]});
    assert_eq!(pod(volume.clone()), [format!("{V}.image.reference: Required value")]);
    assert!(template(volume).is_empty());
}

#[test]
fn claims_that_are_made_for_a_pod_are_not_its_own() {
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let made = |metadata: Value| {
        let mut claim = claim.clone();
        claim["metadata"] = metadata;
        json!({"name": "e", "ephemeral": {"volumeClaimTemplate": claim}})
    };
    let used = json!({"name": "u", "persistentVolumeClaim": {"claimName": "p-e"}});
    assert_eq!(
        pod(json!({"volumes": [made(json!({})), used]})),
        [
            "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-e\": must not reference a PVC that gets created for an ephemeral volume"
        ]
    );
    let at = format!("{V}.ephemeral.volumeClaimTemplate.metadata");
    assert_eq!(
        pod(json!({"volumes": [made(json!({"name": "n", "finalizers": ["a/b"], "labels": {"a": "b"}}))]})),
        [format!("{at}.name: Forbidden: cannot be set"), format!("{at}.finalizers: Forbidden: cannot be set")]
    );
}

#[test]
fn mounts_are_told_by_their_list() {
    let mounted = |mut mount: Value| {
        mount["name"] = "v".into();
        mount["mountPath"] = "/v".into();
        let mut spec = with_container(json!({"volumeMounts": [mount]}));
        spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        pod(spec)
    };
    let at = "spec.containers[0].volumeMounts";
    for (mount, want) in [
        (json!({"subPath": "/a"}), ".subPath: Invalid value: \"/a\": must be a relative path"),
        (json!({"subPathExpr": ".."}), ".subPathExpr: Invalid value: \"..\": must not contain '..'"),
        (
            json!({"subPath": "a", "subPathExpr": "b"}),
            "[0].subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually exclusive",
        ),
        (
            json!({"mountPropagation": "a"}),
            ".mountPropagation: Unsupported value: \"a\": supported values: \"Bidirectional\", \"HostToContainer\", \"None\"",
        ),
        (
            json!({"mountPropagation": "Bidirectional"}),
            ".mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ),
        (json!({"recursiveReadOnly": "Enabled"}), ".recursiveReadOnly: Forbidden: may only be specified when readOnly is true"),
        (
            json!({"recursiveReadOnly": "IfPossible", "readOnly": true, "mountPropagation": "HostToContainer"}),
            ".recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
        ),
    ] {
        assert_eq!(mounted(mount), [format!("{at}{want}")]);
    }
}

#[test]
fn a_volume_is_a_folder_or_a_device() {
    let pod = |mounts: Value, devices: Value| {
        let mut spec = with_container(json!({"volumeMounts": mounts, "volumeDevices": devices}));
        spec["volumes"] = json!([{"name": "e", "emptyDir": {}}, {"name": "p", "persistentVolumeClaim": {"claimName": "c"}}]);
        pod(spec)
    };
    let (mounts, devices) = ("spec.containers[0].volumeMounts[0]", "spec.containers[0].volumeDevices");
    let device = |name: &str| json!({"name": name, "devicePath": "/d"});
    assert_eq!(
        pod(json!([]), json!([device("e")])),
        [format!(
            "{devices}[0].name: Invalid value: \"e\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        )]
    );
    assert_eq!(
        pod(json!([]), json!([device("p"), device("p")])),
        [
            format!("{devices}[1].name: Invalid value: \"p\": must be unique"),
            format!("{devices}[1].devicePath: Invalid value: \"/d\": must be unique")
        ]
    );
    assert_eq!(
        pod(json!([{"name": "p", "mountPath": "/d"}]), json!([device("p")])),
        [
            format!("{mounts}.name: Invalid value: \"p\": must not already exist in volumeDevices"),
            format!("{mounts}.mountPath: Invalid value: \"/d\": must not already exist as a path in volumeDevices"),
            format!("{devices}[0].name: Invalid value: \"p\": must not already exist in volumeMounts"),
            format!("{devices}[0].devicePath: Invalid value: \"/d\": must not already exist as a path in volumeMounts"),
        ]
    );
}
