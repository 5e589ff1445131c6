//! The contract, kept by the embedded store: as it comes, and when every event has to come from the log.
mod as_it_comes {
    crate::contract::contract_suite!(crate::words::fresh);
}
