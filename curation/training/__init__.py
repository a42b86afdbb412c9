"""Fine-tuning of a SAM's mask decoder on the masks of a lake: accepted, corrected and gold."""
