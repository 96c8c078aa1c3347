-- A registry as the program made it before secrets were encrypted, dumped by Python's sqlite3.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'registry','0001_kanalen_abonnementen_applications','2026-11-23 20:41:17.619387+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'registry','0002_declared','2026-11-23 20:41:17.619636+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'registry','0003_lease','2026-11-23 20:41:17.619795+00:00');
CREATE TABLE abonnement (uuid TEXT PRIMARY KEY, callback_url TEXT NOT NULL, auth TEXT NOT NULL,
            kanalen TEXT NOT NULL, client_id TEXT NOT NULL, state TEXT NOT NULL, state_reason TEXT NOT NULL,
            change INTEGER NOT NULL);
INSERT INTO "abonnement" VALUES('00000000-0000-0000-0000-000000000002','https://example.com/2','Bearer plain-auth-2','[{"naam": "zaken", "filters": [["bronorganisatie", "051845623"]]}]','zac','active','',6);
INSERT INTO "abonnement" VALUES('00000000-0000-0000-0000-000000000003','https://example.com/3','Bearer plain-auth-3','[{"naam": "zaken", "filters": [["bronorganisatie", "051845623"]]}]','zac','active','',7);
INSERT INTO "abonnement" VALUES('00000000-0000-0000-0000-000000000004','https://example.com/4','Bearer plain-auth-4','[{"naam": "zaken", "filters": [["bronorganisatie", "051845623"]]}]','zac','active','',8);
CREATE TABLE application (client_id TEXT PRIMARY KEY, secret TEXT NOT NULL, label TEXT NOT NULL,
            scopes TEXT NOT NULL, scopes_from_token INTEGER NOT NULL, old_secret TEXT NOT NULL,
            old_secret_until REAL NOT NULL, change INTEGER NOT NULL);
INSERT INTO "application" VALUES('zac','plain-secret-of-zac','ZAC','["notificaties.consumeren"]',0,'',0.0,1);
INSERT INTO "application" VALUES('drc','plain-secret-of-drc','DRC','["notificaties.publiceren"]',0,'plain-old-secret-of-drc',4102444800.0,2);
CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1),
            change INTEGER NOT NULL, forgotten INTEGER NOT NULL);
INSERT INTO "counter" VALUES(1,8,0);
CREATE TABLE declared (kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, orphan_since REAL,
            PRIMARY KEY (kind, key));
INSERT INTO "declared" VALUES('queue','nrc.abonnement.x','',NULL);
CREATE TABLE kanaal (uuid TEXT PRIMARY KEY, naam TEXT NOT NULL UNIQUE,
            documentatie_link TEXT NOT NULL, filters TEXT NOT NULL, slots TEXT NOT NULL,
            generation INTEGER NOT NULL, change INTEGER NOT NULL);
INSERT INTO "kanaal" VALUES('00000000-0000-0000-0000-000000000001','zaken','https://example.com/zaken','["bronorganisatie"]','["bronorganisatie"]',0,5);
CREATE TABLE lease (holder TEXT PRIMARY KEY, boot TEXT NOT NULL, host TEXT NOT NULL,
            at REAL NOT NULL);
CREATE TABLE removed (kind TEXT NOT NULL, key TEXT NOT NULL, change INTEGER NOT NULL,
            at REAL NOT NULL, PRIMARY KEY (kind, key));
INSERT INTO "removed" VALUES('application','gone',4,1.79546647762656211852e+09);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX kanaal_change ON kanaal (change);
CREATE INDEX abonnement_change ON abonnement (change);
CREATE INDEX abonnement_client_id ON abonnement (client_id);
CREATE INDEX application_change ON application (change);
CREATE INDEX removed_change ON removed (change);
CREATE INDEX declared_owner ON declared (owner);
COMMIT;
