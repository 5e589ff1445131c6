//! `runtime.v1`, as of Kubernetes 1.36; older engines leave newer fields empty.
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct VersionRequest {
    #[prost(string, tag = "1")] pub version: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct VersionResponse {
    #[prost(string, tag = "2")] pub runtime_name: String,
    #[prost(string, tag = "3")] pub runtime_version: String,
    #[prost(string, tag = "4")] pub runtime_api_version: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StatusRequest {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RuntimeCondition {
    #[prost(string, tag = "1")] pub kind: String,
    #[prost(bool, tag = "2")] pub status: bool,
    #[prost(string, tag = "3")] pub reason: String,
    #[prost(string, tag = "4")] pub message: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")] pub conditions: Vec<RuntimeCondition>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StatusResponse {
    #[prost(message, optional, tag = "1")] pub status: Option<RuntimeStatus>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DnsConfig {
    #[prost(string, repeated, tag = "1")] pub servers: Vec<String>,
    #[prost(string, repeated, tag = "2")] pub searches: Vec<String>,
    #[prost(string, repeated, tag = "3")] pub options: Vec<String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Int64Value {
    #[prost(int64, tag = "1")] pub value: i64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NamespaceOption {
    #[prost(int32, tag = "1")] pub network: i32,
    #[prost(int32, tag = "2")] pub pid: i32,
    #[prost(int32, tag = "3")] pub ipc: i32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SecurityProfile {
    #[prost(int32, tag = "1")] pub profile_type: i32,
    #[prost(string, tag = "2")] pub localhost_ref: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxSandboxSecurityContext {
    #[prost(message, optional, tag = "1")] pub namespace_options: Option<NamespaceOption>,
    #[prost(message, optional, tag = "3")] pub run_as_user: Option<Int64Value>,
    #[prost(int64, repeated, tag = "5")] pub supplemental_groups: Vec<i64>,
    #[prost(bool, tag = "6")] pub privileged: bool,
    #[prost(message, optional, tag = "8")] pub run_as_group: Option<Int64Value>,
    #[prost(message, optional, tag = "9")] pub seccomp: Option<SecurityProfile>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxContainerResources {
    #[prost(int64, tag = "1")] pub cpu_period: i64,
    #[prost(int64, tag = "2")] pub cpu_quota: i64,
    #[prost(int64, tag = "3")] pub cpu_shares: i64,
    #[prost(int64, tag = "4")] pub memory_limit_in_bytes: i64,
    #[prost(int64, tag = "5")] pub oom_score_adj: i64,
    #[prost(btree_map = "string, string", tag = "9")] pub unified: BTreeMap<String, String>,
    #[prost(int64, tag = "10")] pub memory_swap_limit_in_bytes: i64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")] pub cgroup_parent: String,
    #[prost(message, optional, tag = "2")] pub security_context: Option<LinuxSandboxSecurityContext>,
    #[prost(btree_map = "string, string", tag = "3")] pub sysctls: BTreeMap<String, String>,
    #[prost(message, optional, tag = "5")] pub resources: Option<LinuxContainerResources>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxMetadata {
    #[prost(string, tag = "1")] pub name: String,
    #[prost(string, tag = "2")] pub uid: String,
    #[prost(string, tag = "3")] pub namespace: String,
    #[prost(uint32, tag = "4")] pub attempt: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")] pub metadata: Option<PodSandboxMetadata>,
    #[prost(string, tag = "2")] pub hostname: String,
    #[prost(string, tag = "3")] pub log_directory: String,
    #[prost(message, optional, tag = "4")] pub dns_config: Option<DnsConfig>,
    #[prost(btree_map = "string, string", tag = "6")] pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "7")] pub annotations: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")] pub linux: Option<LinuxPodSandboxConfig>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")] pub config: Option<PodSandboxConfig>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RunPodSandboxResponse {
    #[prost(string, tag = "1")] pub pod_sandbox_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StopPodSandboxRequest {
    #[prost(string, tag = "1")] pub pod_sandbox_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RemovePodSandboxRequest {
    #[prost(string, tag = "1")] pub pod_sandbox_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")] pub pod_sandbox_id: String,
    #[prost(bool, tag = "2")] pub verbose: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodIp {
    #[prost(string, tag = "1")] pub ip: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxNetworkStatus {
    #[prost(string, tag = "1")] pub ip: String,
    #[prost(message, repeated, tag = "2")] pub additional_ips: Vec<PodIp>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxStatus {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(message, optional, tag = "2")] pub metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")] pub state: i32,
    #[prost(int64, tag = "4")] pub created_at: i64,
    #[prost(message, optional, tag = "5")] pub network: Option<PodSandboxNetworkStatus>,
    #[prost(btree_map = "string, string", tag = "7")] pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "8")] pub annotations: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")] pub status: Option<PodSandboxStatus>,
    #[prost(btree_map = "string, string", tag = "2")] pub info: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxFilter {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(btree_map = "string, string", tag = "3")] pub label_selector: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListPodSandboxRequest {
    #[prost(message, optional, tag = "1")] pub filter: Option<PodSandboxFilter>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandbox {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(message, optional, tag = "2")] pub metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")] pub state: i32,
    #[prost(int64, tag = "4")] pub created_at: i64,
    #[prost(btree_map = "string, string", tag = "5")] pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "6")] pub annotations: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")] pub items: Vec<PodSandbox>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ImageSpec {
    #[prost(string, tag = "1")] pub image: String,
    #[prost(string, tag = "18")] pub user_specified_image: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")] pub key: String,
    #[prost(string, tag = "2")] pub value: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Mount {
    #[prost(string, tag = "1")] pub container_path: String,
    #[prost(string, tag = "2")] pub host_path: String,
    #[prost(bool, tag = "3")] pub readonly: bool,
    #[prost(int32, tag = "5")] pub propagation: i32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Capability {
    #[prost(string, repeated, tag = "1")] pub add_capabilities: Vec<String>,
    #[prost(string, repeated, tag = "2")] pub drop_capabilities: Vec<String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxContainerSecurityContext {
    #[prost(message, optional, tag = "1")] pub capabilities: Option<Capability>,
    #[prost(bool, tag = "2")] pub privileged: bool,
    #[prost(message, optional, tag = "3")] pub namespace_options: Option<NamespaceOption>,
    #[prost(message, optional, tag = "5")] pub run_as_user: Option<Int64Value>,
    #[prost(string, tag = "6")] pub run_as_username: String,
    #[prost(bool, tag = "7")] pub readonly_rootfs: bool,
    #[prost(int64, repeated, tag = "8")] pub supplemental_groups: Vec<i64>,
    #[prost(bool, tag = "11")] pub no_new_privs: bool,
    #[prost(message, optional, tag = "12")] pub run_as_group: Option<Int64Value>,
    #[prost(string, repeated, tag = "13")] pub masked_paths: Vec<String>,
    #[prost(string, repeated, tag = "14")] pub readonly_paths: Vec<String>,
    #[prost(message, optional, tag = "15")] pub seccomp: Option<SecurityProfile>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxContainerConfig {
    #[prost(message, optional, tag = "1")] pub resources: Option<LinuxContainerResources>,
    #[prost(message, optional, tag = "2")] pub security_context: Option<LinuxContainerSecurityContext>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerMetadata {
    #[prost(string, tag = "1")] pub name: String,
    #[prost(uint32, tag = "2")] pub attempt: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerConfig {
    #[prost(message, optional, tag = "1")] pub metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")] pub image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")] pub command: Vec<String>,
    #[prost(string, repeated, tag = "4")] pub args: Vec<String>,
    #[prost(string, tag = "5")] pub working_dir: String,
    #[prost(message, repeated, tag = "6")] pub envs: Vec<KeyValue>,
    #[prost(message, repeated, tag = "7")] pub mounts: Vec<Mount>,
    #[prost(btree_map = "string, string", tag = "9")] pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "10")] pub annotations: BTreeMap<String, String>,
    #[prost(string, tag = "11")] pub log_path: String,
    #[prost(bool, tag = "12")] pub stdin: bool,
    #[prost(bool, tag = "13")] pub stdin_once: bool,
    #[prost(bool, tag = "14")] pub tty: bool,
    #[prost(message, optional, tag = "15")] pub linux: Option<LinuxContainerConfig>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateContainerRequest {
    #[prost(string, tag = "1")] pub pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")] pub config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")] pub sandbox_config: Option<PodSandboxConfig>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateContainerResponse {
    #[prost(string, tag = "1")] pub container_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StartContainerRequest {
    #[prost(string, tag = "1")] pub container_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StopContainerRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(int64, tag = "2")] pub timeout: i64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RemoveContainerRequest {
    #[prost(string, tag = "1")] pub container_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerFilter {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(string, tag = "3")] pub pod_sandbox_id: String,
    #[prost(btree_map = "string, string", tag = "4")] pub label_selector: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListContainersRequest {
    #[prost(message, optional, tag = "1")] pub filter: Option<ContainerFilter>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Container {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(string, tag = "2")] pub pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")] pub metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")] pub image: Option<ImageSpec>,
    #[prost(string, tag = "5")] pub image_ref: String,
    #[prost(int32, tag = "6")] pub state: i32,
    #[prost(int64, tag = "7")] pub created_at: i64,
    #[prost(btree_map = "string, string", tag = "8")] pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")] pub annotations: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")] pub containers: Vec<Container>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerStatusRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(bool, tag = "2")] pub verbose: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerStatus {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(message, optional, tag = "2")] pub metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")] pub state: i32,
    #[prost(int64, tag = "4")] pub created_at: i64,
    #[prost(int64, tag = "5")] pub started_at: i64,
    #[prost(int64, tag = "6")] pub finished_at: i64,
    #[prost(int32, tag = "7")] pub exit_code: i32,
    #[prost(message, optional, tag = "8")] pub image: Option<ImageSpec>,
    #[prost(string, tag = "9")] pub image_ref: String,
    #[prost(string, tag = "10")] pub reason: String,
    #[prost(string, tag = "11")] pub message: String,
    #[prost(btree_map = "string, string", tag = "12")] pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "13")] pub annotations: BTreeMap<String, String>,
    #[prost(string, tag = "15")] pub log_path: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")] pub status: Option<ContainerStatus>,
    #[prost(btree_map = "string, string", tag = "2")] pub info: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ReopenContainerLogRequest {
    #[prost(string, tag = "1")] pub container_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListImagesRequest {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Image {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(string, repeated, tag = "2")] pub repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")] pub repo_digests: Vec<String>,
    #[prost(uint64, tag = "4")] pub size: u64,
    #[prost(message, optional, tag = "5")] pub uid: Option<Int64Value>,
    #[prost(string, tag = "6")] pub username: String,
    #[prost(bool, tag = "8")] pub pinned: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListImagesResponse {
    #[prost(message, repeated, tag = "1")] pub images: Vec<Image>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")] pub image: Option<ImageSpec>,
    #[prost(bool, tag = "2")] pub verbose: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")] pub image: Option<Image>,
    #[prost(btree_map = "string, string", tag = "2")] pub info: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AuthConfig {
    #[prost(string, tag = "1")] pub username: String,
    #[prost(string, tag = "2")] pub password: String,
    #[prost(string, tag = "5")] pub identity_token: String,
    #[prost(string, tag = "6")] pub registry_token: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PullImageRequest {
    #[prost(message, optional, tag = "1")] pub image: Option<ImageSpec>,
    #[prost(message, optional, tag = "2")] pub auth: Option<AuthConfig>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PullImageResponse {
    #[prost(string, tag = "1")] pub image_ref: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RemoveImageRequest {
    #[prost(message, optional, tag = "1")] pub image: Option<ImageSpec>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Empty {}
