//! A message of either side: an error, or a value that means the same after it is written and read again.

#![no_main]

use bytes::Bytes;
use flext_ldap_proto::{
    batch::BatchBuilder,
    ber::{Reader, Writer},
    control::{ControlValue, PasswordPolicyResponse},
    message::{Envelope, Limits},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (bytes, limits) = (Bytes::copy_from_slice(data), Limits::DEFAULT);
    let Ok(envelope) = Envelope::decode(bytes.clone(), &limits) else { return };
    let mut writer = Writer::new();
    let controls = envelope.controls(&limits).unwrap_or_default();
    if let Ok(Some(policy)) = controls.get::<PasswordPolicyResponse>(&limits) {
        policy.encode(&mut writer);
        let value = writer.take();
        assert_eq!(PasswordPolicyResponse::decode(&mut Reader::new(&value), &limits), Ok(policy));
    }
    if let Ok(request) = envelope.request(&limits) {
        request.encode(envelope.id, &controls, &mut writer);
        assert_eq!(Envelope::decode(writer.take(), &limits).unwrap().request(&limits), Ok(request));
    }
    if let Ok(response) = envelope.response(&limits) {
        response.encode(envelope.id, &controls, &mut writer);
    }
    let mut batch = BatchBuilder::over(bytes);
    if batch.add(envelope.op_range(), envelope.controls_range(), &limits).is_ok() {
        let batch = batch.build();
        batch.entries().flat_map(|entry| entry.attributes().iter()).for_each(|attribute| {
            assert!(attribute.values().all(|value| value.len() < data.len()));
        });
    }
});
