//! What is promised: message orders and the group that joins them with agreed views.
