"""The setup file: what the registry is to have, in one file; compared with what it has, and then carried out.

reading.py            YAML as plain values, each with its line; values from the environment and from files
faults.py             what is wrong with a file, each with its place
model.py              what a file may have
checking.py           a file as the model, or every fault of it
open_notificaties.py  the setup_configuration file of Open Notificaties, as ours
planning.py           what is to be made, changed and removed
doing.py              does that, one after the other
kinds/                the same for each kind: kanalen, applications, abonnementen, users, alerts
json_schema.py        the JSON schema of a file, for editors
"""
