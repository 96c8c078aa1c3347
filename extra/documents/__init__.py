"""The OpenAPI document of `/api/extra/v1`.

openapi.py    its addresses, and how it is put together
openapi.yaml  paths, answers and texts; errors are those of the standard's document
"""
