//! How much a frame may hold.

/// What a configuration file says about frames; becomes a [`FrameConfig`] once it makes sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameSettings {
    /// See [`FrameConfig::header_bytes_max`].
    pub header_bytes_max: usize,
    /// See [`FrameConfig::frame_bytes_max`].
    pub frame_bytes_max: usize,
    /// See [`FrameConfig::payload_bytes_max`].
    pub payload_bytes_max: usize,
    /// See [`FrameConfig::reassembly_bytes_max`].
    pub reassembly_bytes_max: usize,
}

impl Default for FrameSettings {
    fn default() -> Self {
        Self {
            header_bytes_max: 256 << 10,
            frame_bytes_max: 1 << 20,
            payload_bytes_max: (64 << 20) + (64 << 10),
            reassembly_bytes_max: (256 << 20) + (256 << 10),
        }
    }
}

/// How much a frame may hold. All nodes of a cluster need the same: what one of them sends within
/// its own limits must be within the limits of the receiver, which closes the link otherwise.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FrameConfig(FrameSettings);

impl FrameConfig {
    /// The most bytes that a frame's header may have. Default 256 KiB, which describes some 50,000
    /// payloads in one frame. At most `frame_bytes_max`, and below 16 MiB.
    pub fn header_bytes_max(&self) -> usize {
        self.0.header_bytes_max
    }

    /// The most bytes, header and payload together, that travel and are buffered as one record.
    /// Default 1 MiB. A frame with more is cut up and put together again, which costs a copy at the
    /// receiver; higher values let each lane of a peer take more memory before it is accounted for.
    pub fn frame_bytes_max(&self) -> usize {
        self.0.frame_bytes_max
    }

    /// The most bytes that a frame's payload may have; more is refused at the sender. Default
    /// 64 MiB for an application's payload, beyond which it does better to send pieces that it can
    /// resume, and 64 KiB for what the layers between put before it. At least `frame_bytes_max`, below
    /// 4 GiB.
    pub fn payload_bytes_max(&self) -> usize {
        self.0.payload_bytes_max
    }

    /// The most bytes of cut-up frames that are put together at one time for one peer, all its
    /// lanes together. Default about 256 MiB, four of the longest frames. A lane that would exceed it
    /// waits until another lane's frame is complete; higher values let more of them proceed at
    /// once. At least `payload_bytes_max`, below 4 GiB.
    pub fn reassembly_bytes_max(&self) -> usize {
        self.0.reassembly_bytes_max
    }
}

/// Why settings of frames make no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameSettingsError {
    /// No room for a header.
    #[error("`header_bytes_max` is {0}: a header needs at least {min} bytes", min = HEADER_BYTES_LEAST)]
    HeaderTooSmall(usize),
    /// The prefix of a record has 24 bits for it.
    #[error("`header_bytes_max` is {0}: it must be below 16 MiB")]
    HeaderTooLarge(usize),
    /// A header must fit into a record.
    #[error(
        "`header_bytes_max` ({header}) exceeds `frame_bytes_max` ({frame}): lower the first or raise the second"
    )]
    HeaderAboveFrame {
        /// `header_bytes_max`.
        header: usize,
        /// `frame_bytes_max`.
        frame: usize,
    },
    /// A payload that needs no cutting must be allowed.
    #[error(
        "`frame_bytes_max` ({frame}) exceeds `payload_bytes_max` ({payload}): lower the first or raise the second"
    )]
    FrameAbovePayload {
        /// `frame_bytes_max`.
        frame: usize,
        /// `payload_bytes_max`.
        payload: usize,
    },
    /// The longest payload could never be put together.
    #[error(
        "`payload_bytes_max` ({payload}) exceeds `reassembly_bytes_max` ({reassembly}): lower the first or raise the second"
    )]
    PayloadAboveReassembly {
        /// `payload_bytes_max`.
        payload: usize,
        /// `reassembly_bytes_max`.
        reassembly: usize,
    },
    /// The prefix of a record has 32 bits for a length.
    #[error("`reassembly_bytes_max` is {0}: it must be below 4 GiB")]
    ReassemblyTooLarge(usize),
}

const HEADER_BYTES_LEAST: usize = 64;

impl TryFrom<FrameSettings> for FrameConfig {
    type Error = FrameSettingsError;

    fn try_from(raw: FrameSettings) -> Result<Self, FrameSettingsError> {
        let FrameSettings {
            header_bytes_max: header,
            frame_bytes_max: frame,
            payload_bytes_max: payload,
            reassembly_bytes_max: reassembly,
        } = raw;
        if header < HEADER_BYTES_LEAST {
            return Err(FrameSettingsError::HeaderTooSmall(header));
        }
        if header >= 1 << 24 {
            return Err(FrameSettingsError::HeaderTooLarge(header));
        }
        if header > frame {
            return Err(FrameSettingsError::HeaderAboveFrame { header, frame });
        }
        if frame > payload {
            return Err(FrameSettingsError::FrameAbovePayload { frame, payload });
        }
        if payload > reassembly {
            return Err(FrameSettingsError::PayloadAboveReassembly { payload, reassembly });
        }
        if u32::try_from(reassembly).is_err() {
            return Err(FrameSettingsError::ReassemblyTooLarge(reassembly));
        }
        Ok(Self(raw))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn defaults_make_sense() {
        assert_eq!(FrameConfig::try_from(FrameSettings::default()), Ok(FrameConfig::default()));
    }

    /// Sizes near the limits and near each other.
    fn sizes() -> impl Strategy<Value = usize> {
        let near = |size: usize| (size - 2)..(size + 3);
        prop_oneof![0..1000_usize, near(64), near(1 << 16), near(1 << 24), near(1 << 32), any::<usize>()]
    }

    proptest! {
        #[test]
        fn limits_are_taken_exactly_if_each_fits_into_the_next(sizes in prop::array::uniform4(sizes())) {
            let [header, frame, payload, reassembly] = sizes;
            let fits = (64..1 << 24).contains(&header) && reassembly < 1 << 32 && sizes.is_sorted();
            let settings = FrameSettings {
                header_bytes_max: header, frame_bytes_max: frame, payload_bytes_max: payload,
                reassembly_bytes_max: reassembly,
            };
            let taken = FrameConfig::try_from(settings);
            prop_assert_eq!(taken.is_ok(), fits);
            prop_assert!(taken.is_err() || taken == Ok(FrameConfig(settings)));
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let good = FrameSettings::default();
        let cases = [
            (FrameSettings { header_bytes_max: 3, ..good }, "header_bytes_max"),
            (FrameSettings { header_bytes_max: 1 << 24, ..good }, "16 MiB"),
            (FrameSettings { header_bytes_max: 2 << 20, ..good }, "frame_bytes_max"),
            (FrameSettings { payload_bytes_max: 1000, ..good }, "payload_bytes_max"),
            (FrameSettings { reassembly_bytes_max: 2 << 20, ..good }, "reassembly_bytes_max"),
            (FrameSettings { reassembly_bytes_max: 1 << 32, ..good }, "4 GiB"),
        ];
        for (settings, named) in cases {
            let error = FrameConfig::try_from(settings).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
