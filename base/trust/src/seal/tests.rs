use super::*;

fn in_folder() -> (tempfile::TempDir, Unlock) {
    let folder = tempfile::tempdir().expect("a folder");
    let unlock = Unlock::KeyFile(folder.path().join("sealing.key"));
    (folder, unlock)
}

#[test]
fn a_sealed_value_opens_under_its_name_and_hides_what_it_says() {
    let (_folder, unlock) = in_folder();
    let keys = Keyring::create(&unlock, 7).expect("keys");
    let sealed = keys.seal("core/secrets/a/b", b"a very plain word").expect("seal");
    assert_eq!(generation_of(&sealed), Some(1));
    assert!(!sealed.windows(5).any(|window| window == b"plain"));
    assert_eq!(keys.open("core/secrets/a/b", &sealed).expect("open"), b"a very plain word");
    assert_ne!(sealed, keys.seal("core/secrets/a/b", b"a very plain word").expect("seal"), "nonces differ");
}

#[test]
fn a_value_in_another_place_or_with_any_bit_changed_does_not_open() {
    let (_folder, unlock) = in_folder();
    let keys = Keyring::create(&unlock, 0).expect("keys");
    let sealed = keys.seal("core/secrets/a/b", b"word").expect("seal");
    assert!(matches!(keys.open("core/secrets/a/c", &sealed), Err(SealError::Damaged { .. })));
    for at in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(keys.open("core/secrets/a/b", &changed).is_err(), "bit {at}");
    }
    for len in 0..sealed.len() {
        assert!(keys.open("core/secrets/a/b", &sealed[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_record_opens_with_its_own_key_alone() {
    let (_folder, unlock) = in_folder();
    let (_other_folder, other) = in_folder();
    let first = Keyring::create(&unlock, 7).expect("keys");
    let old = first.seal("n", b"old").expect("seal");
    let record = first.rotated(9).expect("rotate").record().expect("record");
    assert_eq!(first.follow(&record).expect("follow").newest(), (2, 9));
    let again = Keyring::unlock(&record, &unlock).expect("unlock");
    assert_eq!((again.newest(), again.generations()), ((2, 9), 2));
    assert_eq!(again.open("n", &old).expect("older generations still open"), b"old");
    assert!(matches!(Keyring::unlock(&record, &other), Err(SealError::KeyFileMissing { .. })));
    Keyring::create(&other, 0).expect("another key");
    assert!(matches!(Keyring::unlock(&record, &other), Err(SealError::WrongKey)));
    assert!(matches!(again.retired().open("n", &old), Err(SealError::UnknownGeneration { generation: 1, .. })));
}

#[test]
fn a_passphrase_opens_what_it_sealed_and_no_other_does() {
    let phrase = |text| Unlock::Passphrase(Passphrase::new(text).expect("long enough"));
    let keys = Keyring::create(&phrase("correct horse battery\n"), 0).expect("keys");
    let sealed = keys.seal("n", b"word").expect("seal");
    let record = keys.record().expect("record");
    let again = Keyring::unlock(&record, &phrase("correct horse battery")).expect("unlock");
    assert_eq!(again.open("n", &sealed).expect("open"), b"word");
    assert!(matches!(Keyring::unlock(&record, &phrase("wrong horse battery")), Err(SealError::WrongKey)));
    let (_folder, file) = in_folder();
    assert!(matches!(Keyring::unlock(&record, &file), Err(SealError::PassphraseNeeded)));
    assert!(matches!(Passphrase::new("short"), Err(SealError::PassphraseShort)));
}

#[test]
fn a_changed_record_is_refused_by_what_is_wrong_with_it() {
    let (_folder, unlock) = in_folder();
    let record = Keyring::create(&unlock, 0).expect("keys").record().expect("record");
    let text = String::from_utf8(record).expect("it is text");
    let change = |from: &str, to: &str| Keyring::unlock(text.replace(from, to).as_bytes(), &unlock).map(|_| ());
    assert!(matches!(change("\"format\":1", "\"format\":2"), Err(SealError::Newer { found: 2 })));
    assert!(matches!(change("\"began\":0", "\"began\":1"), Err(SealError::WrongKey)));
    assert!(matches!(change("{", "("), Err(SealError::Record { .. })));
    assert!(matches!(Keyring::unlock(b"{\"format\":1,\"generations\":[]}", &unlock), Err(SealError::Record { .. })));
}

#[test]
fn a_generation_too_many_is_refused() {
    let (_folder, unlock) = in_folder();
    let mut keys = Keyring::create(&unlock, 0).expect("keys");
    for began in 1..GENERATIONS_MAX as u64 {
        keys = keys.rotated(began).expect("there is room");
    }
    assert!(matches!(keys.rotated(99), Err(SealError::TooManyGenerations)));
}

#[test]
fn the_same_data_keys_can_be_wrapped_with_another_root() {
    let (_folder, unlock) = in_folder();
    let keys = Keyring::create(&unlock, 0).expect("keys");
    let sealed = keys.seal("n", b"word").expect("seal");
    let phrase = Passphrase::new("correct horse battery").expect("long enough");
    let by_phrase = keys.rewrapped(&NewRoot::Passphrase(phrase.clone())).expect("rewrap");
    assert!(by_phrase.by_passphrase() && !keys.by_passphrase());
    let record = by_phrase.record().expect("record");
    assert!(matches!(Keyring::unlock(&record, &unlock), Err(SealError::PassphraseNeeded)));
    assert!(matches!(keys.follow(&record), Err(SealError::WrongKey)));
    let again = Keyring::unlock(&record, &Unlock::Passphrase(phrase)).expect("unlock");
    assert_eq!(again.open("n", &sealed).expect("open"), b"word");
}

#[test]
fn a_change_of_key_file_that_was_cut_off_ends_at_the_next_unlocking() {
    let (folder, unlock) = in_folder();
    let path = folder.path().join("sealing.key");
    let keys = Keyring::create(&unlock, 0).expect("keys");
    let before = keys.record().expect("record");
    let key = make_key(&next_key(&path)).expect("make the next key");
    // Cut off before the record was written: the old key still counts.
    Keyring::unlock(&before, &unlock).expect("unlock");
    assert!(next_key(&path).exists());
    let after = keys.rewrapped(&NewRoot::Key(key)).expect("rewrap").record().expect("record");
    Keyring::unlock(&after, &unlock).expect("unlock");
    assert!(!next_key(&path).exists());
    assert_eq!(read_key(&path).expect("read"), Some(key));
    assert!(matches!(Keyring::unlock(&before, &unlock), Err(SealError::WrongKey)));
}

/// Cut off after the store was sealed with the new key, and begun again: the key that is in use already must not be written over.
#[test]
fn a_change_of_key_that_is_begun_again_goes_on_with_the_same_key() {
    let (folder, unlock) = in_folder();
    let path = folder.path().join("sealing.key");
    let keys = Keyring::create(&unlock, 0).expect("keys");
    let key = make_next_key(&path).expect("a key that follows");
    let record = keys.rewrapped(&NewRoot::Key(key)).expect("rewrapped").record().expect("record");
    assert_eq!(make_next_key(&path).expect("again"), key);
    let names = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder).expect("list").map(|file| file.expect("a file").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["sealing.key", "sealing.key.next"]);
    Keyring::unlock(&record, &unlock).expect("the next start ends the change");
    assert_eq!(names(folder.path()), ["sealing.key"]);
    assert_ne!(make_next_key(&path).expect("another"), key, "a change that is done is followed by a fresh key");
}

#[test]
fn changes_of_key_at_once_agree_on_one_key() {
    let (folder, _) = in_folder();
    let path = folder.path().join("sealing.key");
    // Both found none; the other was quicker.
    let (fresh, next) = (folder.path().join("fresh"), next_key(&path));
    let theirs = make_key(&next).expect("made");
    make_key(&fresh).expect("made");
    crate::files::link_durably(&fresh, &next).expect("whoever is second takes what is there");
    assert_eq!(read_key(&next).expect("read"), Some(theirs));
}
