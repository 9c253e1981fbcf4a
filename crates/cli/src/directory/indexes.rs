//! How far indexes are, for people: one sentence for each that searches do not ask.

use flext_ldap_directory::Error;
use flext_ldap_store::{IndexProgress, IndexStage, Store};

/// What is to be said of the indexes that are not ready.
///
/// # Errors
///
/// When the store is closed or storage fails.
pub(super) fn pending(store: &Store) -> Result<Vec<String>, Error> {
    let all = store.index_progress()?;
    let named =
        |index: &IndexProgress| sentence(&format!("{} of {}", index.kind, index.attribute), index.stage);
    Ok(all.iter().filter_map(named).collect())
}

fn sentence(name: &str, stage: IndexStage) -> Option<String> {
    Some(match stage {
        IndexStage::Ready => return None,
        IndexStage::Building { done: 0, .. } => {
            format!("the index waits to be built: {name}; until it is built, searches do without it")
        }
        IndexStage::Building { done, total } => format!(
            "the index is being built: {name}, {done} of {total} entries; until it is built, searches do without it"
        ),
        IndexStage::Removing => format!("the index is being removed: {name}; searches do without it"),
        _ => format!("searches do without the index: {name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_own_sentence() {
        let said = |stage| sentence("equality of title", stage).unwrap_or_default();
        assert_eq!(said(IndexStage::Ready), "");
        let waits =
            "the index waits to be built: equality of title; until it is built, searches do without it";
        assert_eq!(said(IndexStage::Building { done: 0, total: 7 }), waits);
        let built = "the index is being built: equality of title, 3 of 7 entries; until it is built, searches do without it";
        assert_eq!(said(IndexStage::Building { done: 3, total: 7 }), built);
        let removed = "the index is being removed: equality of title; searches do without it";
        assert_eq!(said(IndexStage::Removing), removed);
    }
}
