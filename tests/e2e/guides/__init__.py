"""The pages that tell a reader what to do, done."""
