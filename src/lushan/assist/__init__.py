"""Answers to customers: from templates and a knowledge base, or none and a person instead."""
