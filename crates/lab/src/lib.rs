//! Real servers, generators and fault injection for the tests of this repository
