"""Every operation, declared once; validation, documents and refusal tests derive from it."""
