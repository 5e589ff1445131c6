//! containerd's own services and events.
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Empty {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Any {
    #[prost(string, tag = "1")] pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")] pub value: ::prost::bytes::Bytes,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")] pub seconds: i64,
    #[prost(int32, tag = "2")] pub nanos: i32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")] pub filters: Vec<String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PublishRequest {
    #[prost(string, tag = "1")] pub topic: String,
    #[prost(message, optional, tag = "2")] pub event: Option<Any>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Envelope {
    #[prost(message, optional, tag = "1")] pub timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")] pub namespace: String,
    #[prost(string, tag = "3")] pub topic: String,
    #[prost(message, optional, tag = "4")] pub event: Option<Any>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TaskStart {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(uint32, tag = "2")] pub pid: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TaskExit {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub id: String,
    #[prost(uint32, tag = "3")] pub pid: u32,
    #[prost(uint32, tag = "4")] pub exit_status: u32,
    #[prost(message, optional, tag = "5")] pub exited_at: Option<Timestamp>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TaskOom {
    #[prost(string, tag = "1")] pub container_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerDelete {
    #[prost(string, tag = "1")] pub id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WriteContentRequest {
    #[prost(int32, tag = "1")] pub action: i32,
    #[prost(string, tag = "2")] pub reference: String,
    #[prost(int64, tag = "3")] pub total: i64,
    #[prost(string, tag = "4")] pub expected: String,
    #[prost(int64, tag = "5")] pub offset: i64,
    #[prost(bytes = "bytes", tag = "6")] pub data: ::prost::bytes::Bytes,
    #[prost(btree_map = "string, string", tag = "7")] pub labels: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WriteContentResponse {
    #[prost(int32, tag = "1")] pub action: i32,
    #[prost(int64, tag = "4")] pub offset: i64,
    #[prost(int64, tag = "5")] pub total: i64,
    #[prost(string, tag = "6")] pub digest: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Descriptor {
    #[prost(string, tag = "1")] pub media_type: String,
    #[prost(string, tag = "2")] pub digest: String,
    #[prost(int64, tag = "3")] pub size: i64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Image {
    #[prost(string, tag = "1")] pub name: String,
    #[prost(btree_map = "string, string", tag = "2")] pub labels: BTreeMap<String, String>,
    #[prost(message, optional, tag = "3")] pub target: Option<Descriptor>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetImageRequest {
    #[prost(string, tag = "1")] pub name: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetImageResponse {
    #[prost(message, optional, tag = "1")] pub image: Option<Image>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateImageRequest {
    #[prost(message, optional, tag = "1")] pub image: Option<Image>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UpdateImageRequest {
    #[prost(message, optional, tag = "1")] pub image: Option<Image>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Lease {
    #[prost(string, tag = "1")] pub id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateLeaseRequest {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(btree_map = "string, string", tag = "3")] pub labels: BTreeMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateLeaseResponse {
    #[prost(message, optional, tag = "1")] pub lease: Option<Lease>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeleteLeaseRequest {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(bool, tag = "2")] pub sync: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Container {
    #[prost(string, tag = "1")] pub id: String,
    #[prost(message, optional, tag = "5")] pub spec: Option<Any>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetContainerRequest {
    #[prost(string, tag = "1")] pub id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetContainerResponse {
    #[prost(message, optional, tag = "1")] pub container: Option<Container>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListTasksRequest {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Process {
    #[prost(string, tag = "2")] pub id: String,
    #[prost(int32, tag = "4")] pub status: i32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListTasksResponse {
    #[prost(message, repeated, tag = "1")] pub tasks: Vec<Process>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ExecProcessRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub stdin: String,
    #[prost(string, tag = "3")] pub stdout: String,
    #[prost(string, tag = "4")] pub stderr: String,
    #[prost(bool, tag = "5")] pub terminal: bool,
    #[prost(message, optional, tag = "6")] pub spec: Option<Any>,
    #[prost(string, tag = "7")] pub exec_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StartRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub exec_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StartResponse {
    #[prost(uint32, tag = "1")] pub pid: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeleteTaskRequest {
    #[prost(string, tag = "1")] pub container_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeleteProcessRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub exec_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeleteResponse {
    #[prost(uint32, tag = "3")] pub exit_status: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KillRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub exec_id: String,
    #[prost(uint32, tag = "3")] pub signal: u32,
    #[prost(bool, tag = "4")] pub all: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ResizePtyRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub exec_id: String,
    #[prost(uint32, tag = "3")] pub width: u32,
    #[prost(uint32, tag = "4")] pub height: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CloseIoRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub exec_id: String,
    #[prost(bool, tag = "3")] pub stdin: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WaitRequest {
    #[prost(string, tag = "1")] pub container_id: String,
    #[prost(string, tag = "2")] pub exec_id: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WaitResponse {
    #[prost(uint32, tag = "1")] pub exit_status: u32,
    #[prost(message, optional, tag = "2")] pub exited_at: Option<Timestamp>,
}
