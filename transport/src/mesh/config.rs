//! How a mesh behaves.

use std::time::Duration;

use crate::FrameConfig;

/// What is chosen for a mesh; becomes a [`MeshConfig`] once it makes sense.
#[derive(Clone, Copy, Debug)]
pub struct MeshSettings {
    /// Limits of frames, the same as those of the transport: what exceeds them is refused when it
    /// is handed in.
    pub frames: FrameConfig,
    /// Bytes that may wait for one lane of one peer. Default 16 MiB. Higher values ride out longer
    /// stalls of a peer and take more memory for each that stalls. A longer frame is let into an
    /// empty outbox.
    pub outbox_bytes_max: usize,
    /// Frames that may wait for one lane of one peer. Default 65,536: bounds what many tiny frames
    /// take beyond their bytes.
    pub outbox_frames_max: usize,
    /// The longest pause before the second try to reach a peer; it doubles with every further one.
    /// Default 50 ms. A link that breaks before it has stood for `retry_most` counts as a try.
    pub retry_least: Duration,
    /// The longest pause between tries. Default 2 s. Lower values find a peer sooner that is back,
    /// and bother the network more while it is not. At least `retry_least`.
    pub retry_most: Duration,
    /// Events that may wait to be taken. Default 1024. At the bound lanes are not accepted,
    /// datagrams are dropped by the transport, and links come and go later.
    pub events_max: usize,
    /// Links of clients at one time; more are refused. Default 1024.
    pub clients_max: usize,
    /// How long a mesh that is closed waits for what is still in its outboxes. Default 1 s. Higher
    /// values let slow peers hold up a stop, lower ones lose more of what was said last.
    pub flush_within: Duration,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            frames: FrameConfig::default(),
            outbox_bytes_max: 16 << 20,
            outbox_frames_max: 1 << 16,
            retry_least: Duration::from_millis(50),
            retry_most: Duration::from_secs(2),
            events_max: 1024,
            clients_max: 1024,
            flush_within: Duration::from_secs(1),
        }
    }
}

/// How a mesh behaves. See [`MeshSettings`] for what each value means.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeshConfig(MeshSettings);

impl MeshConfig {
    /// The values.
    pub fn settings(&self) -> &MeshSettings {
        &self.0
    }
}

/// Why settings of a mesh make no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MeshSettingsError {
    /// Nothing would ever get through.
    #[error("`{0}` is zero: it must be at least one")]
    Zero(&'static str),
    /// Pauses could not grow.
    #[error("`retry_least` ({least:?}) exceeds `retry_most` ({most:?}): lower the first or raise the second")]
    Retry {
        /// `retry_least`.
        least: Duration,
        /// `retry_most`.
        most: Duration,
    },
}

impl TryFrom<MeshSettings> for MeshConfig {
    type Error = MeshSettingsError;

    fn try_from(raw: MeshSettings) -> Result<Self, MeshSettingsError> {
        let bounds = [
            ("outbox_bytes_max", raw.outbox_bytes_max),
            ("outbox_frames_max", raw.outbox_frames_max),
            ("retry_least", usize::from(!raw.retry_least.is_zero())),
            ("events_max", raw.events_max),
        ];
        if let Some((name, _)) = bounds.into_iter().find(|(_, value)| *value == 0) {
            return Err(MeshSettingsError::Zero(name));
        }
        let (least, most) = (raw.retry_least, raw.retry_most);
        if least > most {
            return Err(MeshSettingsError::Retry { least, most });
        }
        Ok(Self(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let good = MeshSettings::default();
        assert!(MeshConfig::try_from(good).is_ok());
        let refused = |settings| MeshConfig::try_from(settings).map(drop).unwrap_err();
        let zero = MeshSettings { events_max: 0, ..good };
        assert_eq!(refused(zero), MeshSettingsError::Zero("events_max"));
        let busy = MeshSettings { retry_least: Duration::ZERO, ..good };
        assert_eq!(refused(busy), MeshSettingsError::Zero("retry_least"));
        let (least, most) = (good.retry_least, Duration::from_millis(1));
        let shrinking = MeshSettings { retry_most: most, ..good };
        assert_eq!(refused(shrinking), MeshSettingsError::Retry { least, most });
    }
}
