"""Documents that the gateway serves: for people and for generators. Templates and texts are in templates/.

openapi.py  the OpenAPI document (openapi.yaml) and its addresses
pages.py    the first page, the readable API document, and the pages that `type` of a problem refers to
"""
