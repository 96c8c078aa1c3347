"""Documents that the gateway serves: for people and for generators.

openapi.py      the OpenAPI document (openapi.yaml) and its addresses
pages.py        the first page, the readable API document, and where `type` of a problem points (templates/)
error_texts.py  what each error means and what to do about it, in Dutch
"""
