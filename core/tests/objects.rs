//! Objects that no compiler produces: which are refused, and what is read from the others. The root package's
//! tests/hostile_objects.rs has the large ones, and measures the time that they take.

#[path = "objects/amounts.rs"]
mod amounts;
#[path = "objects/build.rs"]
mod build;
#[path = "objects/edited.rs"]
mod edited;
#[path = "objects/needs.rs"]
mod needs;
#[path = "objects/places.rs"]
mod places;
#[path = "objects/refused.rs"]
mod refused;
