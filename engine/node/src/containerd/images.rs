//! Images: present, pulled, removed, taken in from memory.
use std::{collections::BTreeMap, time::Duration};

use super::{
    Machine,
    rpc::{USUAL, failed},
    sandboxes::absent_is_fine,
    wire::{cri, engine},
};
use crate::{
    images::{Blob, Layout},
    runtime::{ImageConfig, ImageInfo, PullAuth, PullError, PullReason, Result, RuntimeError},
};

/// A pull may take long on a slow line; containerd itself gives up when nothing arrives any more.
const PULL_MAX: Duration = Duration::from_secs(3600);
/// After this, content that an interrupted import left may be collected.
const LEASE_HOURS: i64 = 1;
/// How long containerd's CRI plugin may take to notice an image that was taken in.
const NOTICE_MAX: Duration = Duration::from_secs(10);
/// Bytes of one message of an import.
const CHUNK: usize = 1024 * 1024;

const WRITE: i32 = 1;
const COMMIT: i32 = 2;

impl Machine {
    pub(super) async fn find_image(&self, reference: &str) -> Result<Option<ImageInfo>> {
        let spec = cri::ImageSpec { image: reference.to_owned(), ..Default::default() };
        let request = cri::ImageStatusRequest { image: Some(spec), verbose: true };
        let answer = self.rpc.call::<_, cri::ImageStatusResponse>("/runtime.v1.ImageService/ImageStatus", request, USUAL).await;
        let answer = match answer.map_err(|status| failed("look for image", reference, &status)) {
            Err(RuntimeError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let config = answer.info.get("info").map(|info| image_config(info)).unwrap_or_default();
        Ok(answer.image.map(|image| ImageInfo { config, ..translate(image) }))
    }

    pub(super) async fn list_images(&self) -> Result<Vec<ImageInfo>> {
        let request = cri::ListImagesRequest {};
        let answer = self.rpc.call::<_, cri::ListImagesResponse>("/runtime.v1.ImageService/ListImages", request, USUAL).await;
        let images = answer.map_err(|status| failed("list images", "", &status))?.images;
        Ok(images.into_iter().map(translate).collect())
    }

    pub(super) async fn fetch_image(&self, reference: &str, auth: Option<&PullAuth>) -> Result<ImageInfo, PullError> {
        let spec = cri::ImageSpec { image: reference.to_owned(), user_specified_image: reference.to_owned() };
        let auth = auth.map(|auth| cri::AuthConfig {
            username: auth.username.clone(),
            password: auth.password.clone(),
            identity_token: auth.identity_token.clone(),
            registry_token: auth.registry_token.clone(),
        });
        let request = cri::PullImageRequest { image: Some(spec), auth };
        let answer = self.rpc.call::<_, cri::PullImageResponse>("/runtime.v1.ImageService/PullImage", request, PULL_MAX).await;
        let pulled = answer.map_err(|status| pull_error(reference, &status))?;
        let lost = |message: String| PullError { reason: PullReason::ErrImagePull, message };
        let found = self.find_image(&pulled.image_ref).await.map_err(|error| lost(error.to_string()))?;
        found.ok_or_else(|| lost(format!("image `{reference}` was pulled and is not there")))
    }

    pub(super) async fn delete_image(&self, reference: &str) -> Result<()> {
        let spec = cri::ImageSpec { image: reference.to_owned(), ..Default::default() };
        let request = cri::RemoveImageRequest { image: Some(spec) };
        let answer = self.rpc.call::<_, cri::Empty>("/runtime.v1.ImageService/RemoveImage", request, USUAL).await;
        absent_is_fine(answer.map(drop).map_err(|status| failed("remove image", reference, &status)))
    }

    pub(super) async fn take_in(&self, layout: &Layout) -> Result<ImageInfo> {
        let built = layout.build().map_err(|source| RuntimeError::Invalid { message: source.to_string() })?;
        if self.stored_target(layout.name()).await?.as_deref() == Some(&built.manifest.digest)
            && let Some(present) = self.find_image(layout.name()).await?
            && present.id == built.config.digest
        {
            return Ok(present);
        }
        let lease = self.lease().await?;
        let work = async {
            for blob in [&built.layer, &built.config] {
                self.store_blob(blob, BTreeMap::new(), &lease).await?;
            }
            let held = BTreeMap::from([
                ("containerd.io/gc.ref.content.config".to_owned(), built.config.digest.clone()),
                ("containerd.io/gc.ref.content.l.0".to_owned(), built.layer.digest.clone()),
            ]);
            self.store_blob(&built.manifest, held, &lease).await?;
            self.name_image(layout, &built.manifest, &lease).await?;
            self.noticed(layout.name(), &built.config.digest).await
        };
        let result = work.await;
        let request = engine::DeleteLeaseRequest { id: lease, sync: false };
        if let Err(status) =
            self.rpc.call::<_, engine::Empty>("/containerd.services.leases.v1.Leases/Delete", request, USUAL).await
        {
            tracing::warn!("end the lease of an import (it ends by itself after {LEASE_HOURS} h): {}", status.message());
        }
        result
    }

    /// Digest of the manifest that containerd has under a name.
    async fn stored_target(&self, name: &str) -> Result<Option<String>> {
        let request = engine::GetImageRequest { name: name.to_owned() };
        match self.rpc.call::<_, engine::GetImageResponse>("/containerd.services.images.v1.Images/Get", request, USUAL).await {
            Ok(answer) => Ok(answer.image.and_then(|image| image.target).map(|target| target.digest)),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(failed("look for image", name, &status)),
        }
    }

    async fn lease(&self) -> Result<String> {
        let id = format!("irori-import-{}", uuid::Uuid::new_v4());
        // layers allow: containerd goes by the system's clock, whatever ours says.
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(LEASE_HOURS);
        let labels = BTreeMap::from([("containerd.io/gc.expire".to_owned(), expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())]);
        let request = engine::CreateLeaseRequest { id: id.clone(), labels };
        let answer =
            self.rpc.call::<_, engine::CreateLeaseResponse>("/containerd.services.leases.v1.Leases/Create", request, USUAL).await;
        answer.map(|_| id).map_err(|status| failed("lease space for an import", "", &status))
    }

    async fn store_blob(&self, blob: &Blob, labels: BTreeMap<String, String>, lease: &str) -> Result<()> {
        let total = i64::try_from(blob.bytes.len()).unwrap_or(i64::MAX);
        let reference = format!("irori-{lease}-{}", blob.digest);
        let message = |action, offset: usize, data| engine::WriteContentRequest {
            action,
            reference: reference.clone(),
            total,
            expected: blob.digest.clone(),
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            data,
            labels: if action == COMMIT { labels.clone() } else { BTreeMap::new() },
        };
        let starts = (0..blob.bytes.len()).step_by(CHUNK);
        let mut messages: Vec<_> =
            starts.map(|at| message(WRITE, at, blob.bytes.slice(at..(at + CHUNK).min(blob.bytes.len())))).collect();
        messages.push(message(COMMIT, blob.bytes.len(), bytes::Bytes::new()));
        let path = "/containerd.services.content.v1.Content/Write";
        match self.rpc.exchange::<_, engine::WriteContentResponse>(path, messages, lease).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::AlreadyExists => Ok(()),
            Err(status) => Err(failed("store image content", &blob.digest, &status)),
        }
    }

    async fn name_image(&self, layout: &Layout, manifest: &Blob, lease: &str) -> Result<()> {
        let mut labels = BTreeMap::from([("io.cri-containerd.image".to_owned(), "managed".to_owned())]);
        if layout.is_pinned() {
            labels.insert("io.cri-containerd.pinned".to_owned(), "pinned".to_owned());
        }
        let target = engine::Descriptor {
            media_type: manifest.media_type.to_owned(),
            digest: manifest.digest.clone(),
            size: i64::try_from(manifest.bytes.len()).unwrap_or(i64::MAX),
        };
        let image = engine::Image { name: layout.name().to_owned(), labels, target: Some(target) };
        let create = engine::CreateImageRequest { image: Some(image.clone()) };
        let path = "/containerd.services.images.v1.Images/Create";
        let answer = match self.rpc.call_leased::<_, engine::Empty>(path, create, lease).await {
            Err(status) if status.code() == tonic::Code::AlreadyExists => {
                let update = engine::UpdateImageRequest { image: Some(image) };
                self.rpc.call_leased::<_, engine::Empty>("/containerd.services.images.v1.Images/Update", update, lease).await
            }
            other => other,
        };
        answer.map(drop).map_err(|status| failed("name image", layout.name(), &status))
    }

    /// The CRI plugin hears of new images by containerd's own events, and tells nobody when it has.
    async fn noticed(&self, name: &str, id: &str) -> Result<ImageInfo> {
        let wait = irori_runtime::Backoff { first: Duration::from_millis(2), max: Duration::from_millis(100) };
        let look = async {
            for attempt in 0.. {
                if let Some(image) = self.find_image(name).await?
                    && image.id == id
                {
                    return Ok(image);
                }
                tokio::time::sleep(wait.wait(attempt)).await;
            }
            unreachable!("the attempts do not end before the timeout")
        };
        let late = RuntimeError::Timeout { operation: "notice an imported image", limit: NOTICE_MAX };
        tokio::time::timeout(NOTICE_MAX, look).await.map_err(|_| late)?
    }
}

fn translate(image: cri::Image) -> ImageInfo {
    ImageInfo {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size_bytes: image.size,
        uid: image.uid.map(|uid| uid.value),
        username: image.username,
        config: ImageConfig::default(),
        pinned: image.pinned,
    }
}

/// The image's own config out of the CRI plugin's verbose answer.
fn image_config(info: &str) -> ImageConfig {
    let Ok(info) = serde_json::from_str::<serde_json::Value>(info) else { return ImageConfig::default() };
    let config = &info["imageSpec"]["config"];
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let list = |name: &str| {
        let items = config[name].as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    ImageConfig {
        user: text("User"),
        entrypoint: list("Entrypoint"),
        cmd: list("Cmd"),
        env: list("Env"),
        working_dir: text("WorkingDir"),
        stop_signal: text("StopSignal"),
    }
}

fn pull_error(reference: &str, status: &tonic::Status) -> PullError {
    let message = status.message().to_owned();
    let unreachable = ["no such host", "connection refused", "i/o timeout", "network is unreachable", "no route to host"];
    let reason = if message.contains("invalid reference format") || message.contains("failed to parse image reference") {
        PullReason::InvalidImageName
    } else if status.code() == tonic::Code::Unavailable || unreachable.iter().any(|words| message.contains(words)) {
        PullReason::RegistryUnavailable
    } else {
        PullReason::ErrImagePull
    };
    PullError { reason, message: format!("pull image `{reference}`: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_pull_says_whether_name_network_or_registry_is_to_blame() {
        let reason = |message: &str| pull_error("x", &tonic::Status::unknown(message)).reason;
        assert_eq!(reason("failed to parse image reference \"::\": invalid reference format"), PullReason::InvalidImageName);
        assert_eq!(reason("dial tcp: lookup r.example: no such host"), PullReason::RegistryUnavailable);
        assert_eq!(reason("pull access denied, repository does not exist"), PullReason::ErrImagePull);
    }
}
