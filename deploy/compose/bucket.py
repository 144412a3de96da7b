"""Makes the bucket if it is not there, with versions: what is deleted or overwritten by mistake can be brought back."""

import os

import s3fs

bucket = os.environ["PENSTOCK_STORE"].removeprefix("s3://").partition("/")[0]
store = s3fs.S3FileSystem()
if not store.exists(bucket):
    store.mkdir(bucket)
store.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
